//! What git says of a config root: asked of the `git` command, which knows every kind of repository.

use std::path::{Path, PathBuf};
use std::process::Command;

/// What a set is made of, below the root.
const PUBLISHED: [&str; 6] = ["sources.yaml", "sources.json", "schemas", "transforms", "consumers", "environments"];
/// Where CI systems say which commit they check out.
const CI_COMMITS: [&str; 5] = ["GITHUB_SHA", "CI_COMMIT_SHA", "BUILDKITE_COMMIT", "GIT_COMMIT", "BITBUCKET_COMMIT"];

/// A root's place in history.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Checkout {
    root: PathBuf,
    /// The commit that is checked out; from CI's variables where there is no repository.
    pub commit: Option<String>,
    /// Files of the set differ from that commit.
    pub dirty: bool,
    /// Why git says nothing of a root that is in a repository.
    pub trouble: Option<String>,
    in_repository: bool,
}

/// How the commit that is checked out stands to one that was published.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ancestry {
    /// It is that one, or holds it.
    Descends,
    /// The published one holds it: a late job.
    Older,
    /// Neither holds the other.
    Diverged,
    /// The published one is not in this repository; `shallow`: perhaps because its history was cut.
    Unknown { shallow: bool },
    /// There is no repository to ask.
    Unchecked,
}

impl Checkout {
    /// Looks at the repository that the root is in, if any.
    pub fn look(root: &Path) -> Checkout {
        let checkout = Checkout { root: root.to_owned(), ..Checkout::default() };
        match checkout.ask(&["rev-parse", "--git-dir"]) {
            Ok(_) => {
                // none in a repository without commits, where everything is new
                let commit = checkout.git(&["rev-parse", "--verify", "HEAD"]);
                let mut status = vec!["status", "--porcelain", "--untracked-files=all", "--ignored=matching", "--"];
                status.extend(PUBLISHED);
                // a status that fails says nothing good about the tree
                let dirty = commit.is_none() || checkout.git(&status).is_none_or(|changes| !changes.is_empty());
                Checkout { commit, dirty, in_repository: true, ..checkout }
            }
            Err(why) => {
                let commit = CI_COMMITS.iter().find_map(|name| std::env::var(name).ok().filter(|commit| !commit.is_empty()));
                let real = root.canonicalize().unwrap_or_else(|_| root.to_owned());
                let trouble = real.ancestors().any(|folder| folder.join(".git").exists()).then_some(why);
                Checkout { commit, trouble, ..checkout }
            }
        }
    }

    /// The same place with another commit checked out: that of a saved plan.
    pub fn at(&self, commit: Option<String>, dirty: bool) -> Checkout {
        Checkout { commit, dirty, ..self.clone() }
    }

    /// How this checkout stands to a published commit.
    pub fn ancestry(&self, published: &str) -> Ancestry {
        let Some(commit) = self.commit.as_deref().filter(|_| self.in_repository) else { return Ancestry::Unchecked };
        if commit == published {
            return Ancestry::Descends;
        }
        if self.git(&["cat-file", "-e", &format!("{published}^{{commit}}")]).is_none() {
            let shallow = self.git(&["rev-parse", "--is-shallow-repository"]).as_deref() == Some("true");
            return Ancestry::Unknown { shallow };
        }
        let holds = |older: &str, newer: &str| self.git(&["merge-base", "--is-ancestor", older, newer]).is_some();
        match (holds(published, commit), holds(commit, published)) {
            (true, _) => Ancestry::Descends,
            (false, true) => Ancestry::Older,
            (false, false) => Ancestry::Diverged,
        }
    }

    /// What a git command prints, trimmed; None where it fails or there is no git.
    fn git(&self, arguments: &[&str]) -> Option<String> {
        self.ask(arguments).ok()
    }

    /// The same, or why not.
    fn ask(&self, arguments: &[&str]) -> Result<String, String> {
        let output = Command::new("git").arg("-C").arg(&self.root).args(arguments).output();
        let output = output.map_err(|error| format!("`git` cannot be started ({error})"))?;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
        if output.status.success() { Ok(text(&output.stdout)) } else { Err(text(&output.stderr)) }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    struct Repository(tempfile::TempDir);

    impl Repository {
        fn new() -> Repository {
            let repository = Repository(tempfile::tempdir().unwrap());
            repository.git(&["init", "-q", "-b", "main"]);
            repository
        }

        fn git(&self, arguments: &[&str]) -> String {
            let output = Command::new("git")
                .arg("-C")
                .arg(self.0.path())
                .args(["-c", "user.name=Ana", "-c", "user.email=ana@example.org"])
                .args(arguments)
                .output()
                .unwrap();
            assert!(output.status.success(), "git {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
            String::from_utf8(output.stdout).unwrap().trim().to_owned()
        }

        fn commit(&self, text: &str) -> String {
            fs::write(self.0.path().join("sources.yaml"), text).unwrap();
            self.git(&["add", "-A"]);
            self.git(&["commit", "-q", "-m", text]);
            self.git(&["rev-parse", "HEAD"])
        }

        fn look(&self) -> Checkout {
            Checkout::look(self.0.path())
        }
    }

    #[test]
    fn only_files_of_the_set_make_a_tree_dirty() {
        let repository = Repository::new();
        let commit = repository.commit("a");
        fs::write(repository.0.path().join("notes.txt"), "x").unwrap();
        assert_eq!((repository.look().commit, repository.look().dirty), (Some(commit), false));
        fs::create_dir(repository.0.path().join("consumers")).unwrap();
        fs::write(repository.0.path().join("consumers/new.yaml"), "x").unwrap();
        assert!(repository.look().dirty);
    }

    #[test]
    fn an_older_commit_and_another_branch_are_told_apart() {
        let repository = Repository::new();
        let first = repository.commit("a");
        let second = repository.commit("b");
        assert_eq!(repository.look().ancestry(&first), Ancestry::Descends);
        repository.git(&["checkout", "-q", &first]);
        assert_eq!(repository.look().ancestry(&second), Ancestry::Older);
        repository.commit("c");
        assert_eq!(repository.look().ancestry(&second), Ancestry::Diverged);
        assert_eq!(repository.look().ancestry(&"0".repeat(40)), Ancestry::Unknown { shallow: false });
    }

    #[test]
    fn a_shallow_clone_is_known_as_one() {
        let repository = Repository::new();
        let first = repository.commit("a");
        repository.commit("b");
        let clone = tempfile::tempdir().unwrap();
        let from = format!("file://{}", repository.0.path().display());
        repository.git(&["clone", "-q", "--depth", "1", &from, &clone.path().join("c").display().to_string()]);
        assert_eq!(Checkout::look(&clone.path().join("c")).ancestry(&first), Ancestry::Unknown { shallow: true });
    }
}
