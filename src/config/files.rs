//! The files of a config set, each read once: from a folder, or from memory where a store supplies them. It says which file is which, and what
//! the set's digest is; it does not look into them.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use sha2::{Digest as _, Sha256};

use super::findings::{Finding, Findings, Place};
use super::set::Digest;

/// The file that makes a folder a config root.
pub const ROOT_FILE: &str = "analytica.yaml";
/// Bytes. No definition of ours is as large; a stray dump in the folder must not fill the memory.
const LARGEST_FILE: u64 = 16 << 20;
/// Folders in each other: symbolic links are followed, and may lead in circles.
const DEEPEST: usize = 16;
const FOLDERS: [&str; 4] = ["schemas", "transforms", "consumers", "environments"];

/// The nearest folder upward from `start` that holds analytica.yaml.
pub fn discover(start: &Path) -> Option<PathBuf> {
    let start = std::path::absolute(start).ok()?; // fails for an empty path alone: nothing to find there
    start.ancestors().find(|folder| folder.join(ROOT_FILE).is_file()).map(Path::to_owned)
}

/// A folder or file that cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("cannot read {}: {source}", path.display())]
pub struct ReadError {
    pub path: PathBuf,
    pub source: io::Error,
}

/// Every file of a set: path relative to the root, with `/`, → bytes. analytica.yaml is not part of it. Cheap to clone.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Files {
    files: BTreeMap<Arc<str>, Arc<[u8]>>,
    /// What was passed over and ought to be mended: path and why.
    strange: Vec<(String, String)>,
}

impl Files {
    /// Reads a config root: sources.yaml and the folders schemas, transforms, consumers and environments, through symbolic links. Hidden files and
    /// what editors leave behind are passed over.
    pub fn read(root: &Path) -> Result<Files, ReadError> {
        let mut files = Files::default();
        for name in list(root)? {
            match name.to_str() {
                Some(name) if FOLDERS.contains(&name) => files.read_folder(&root.join(name), name, 0)?,
                Some(name) if name.starts_with("sources.") && !is_leftover(name) => files.read_file(&root.join(name), name)?,
                _ => {}
            }
        }
        Ok(files)
    }

    fn read_folder(&mut self, folder: &Path, path: &str, depth: usize) -> Result<(), ReadError> {
        if depth == DEEPEST {
            self.strange.push((path.to_owned(), format!("more than {DEEPEST} folders in each other: does a link lead in a circle?")));
            return Ok(());
        }
        for name in list(folder)? {
            let Some(text) = name.to_str() else {
                self.strange.push((format!("{path}/{}", name.to_string_lossy()), "the file's name is not UTF-8".to_owned()));
                continue;
            };
            if is_leftover(text) {
                continue;
            }
            let (inner, path) = (folder.join(&name), format!("{path}/{text}"));
            match fs::metadata(&inner).map_err(|source| ReadError { path: inner.clone(), source })?.is_dir() {
                true => self.read_folder(&inner, &path, depth + 1)?,
                false => self.read_file(&inner, &path)?,
            }
        }
        Ok(())
    }

    fn read_file(&mut self, file: &Path, path: &str) -> Result<(), ReadError> {
        let failed = |source| ReadError { path: file.to_owned(), source };
        let metadata = fs::metadata(file).map_err(failed)?;
        if !metadata.is_file() {
            return Ok(()); // a socket or a pipe: reading it would never end
        }
        if metadata.len() > LARGEST_FILE {
            self.strange.push((path.to_owned(), format!("the file is larger than {} MiB", LARGEST_FILE >> 20)));
            return Ok(());
        }
        self.files.insert(path.into(), fs::read(file).map_err(failed)?.into());
        Ok(())
    }

    pub fn get(&self, path: &str) -> Option<&Arc<[u8]>> {
        self.files.get(path)
    }

    /// By path.
    pub fn iter(&self) -> impl Iterator<Item = (&Arc<str>, &Arc<[u8]>)> {
        self.files.iter()
    }

    pub fn len(&self) -> usize {
        self.files.len()
    }

    pub fn is_empty(&self) -> bool {
        self.files.is_empty()
    }

    /// The files that a set for this environment is made of: what a revision holds. Other environments' overlays and stray files are not among them.
    pub fn of_environment(&self, environment: &str) -> Files {
        let belongs = |path: &str| match Entry::of(path) {
            Entry::Environment { name } => name == environment,
            Entry::Ignored | Entry::Strange(_) => false,
            _ => true,
        };
        let files: Files = self.iter().filter(|(path, _)| belongs(path)).map(|(path, bytes)| (path.clone(), bytes.clone())).collect();
        // what could not be read may have been meant for this environment too
        Files { strange: self.strange.clone(), ..files }
    }

    /// The name of the set for an environment: SHA-256 over a manifest of one line a file, `<sha256 of its bytes> <path>`, sorted by path, under the
    /// line `analytica set 1 <environment>`. Line ends count as LF. Environments publish separately, so two of them never share a digest.
    pub fn digest(&self, environment: &str) -> Digest {
        let mut manifest = Sha256::new();
        manifest.update(format!("analytica set 1 {environment}\n"));
        for (path, bytes) in &self.of_environment(environment).files {
            let mut content = Sha256::new();
            for (index, part) in bytes.split(|byte| *byte == b'\n').enumerate() {
                if index > 0 {
                    content.update(b"\n");
                }
                // A CR before a line break belongs to it; the one at the very end of a file does not.
                let ends_in_break = part.as_ptr_range().end < bytes.as_ptr_range().end;
                content.update(if ends_in_break { part.strip_suffix(b"\r").unwrap_or(part) } else { part });
            }
            manifest.update(format!("{} {path}\n", hex(&content.finalize())));
        }
        Digest(hex(&manifest.finalize()).into())
    }

    /// Findings about files that are there and cannot be used.
    pub(super) fn report(&self, findings: &mut Findings) {
        for (path, why) in &self.strange {
            findings.push(Finding::error("bad-file", Place::file(path.as_str()), why.clone()));
        }
        for path in self.files.keys() {
            if let Entry::Strange(hint) = Entry::of(path) {
                findings
                    .push(Finding::error("bad-file", Place::file(path.clone()), "this file is not read: its name says nothing").hint(hint));
            }
        }
        for path in self.files.keys() {
            if let Some(other) = Entry::of(path).is_definition().then(|| path.strip_suffix(".json")).flatten()
                && let yaml = format!("{other}.yaml")
                && self.files.contains_key(yaml.as_str())
            {
                let message = format!("`{yaml}` and `{path}` are both there: which one counts?");
                findings.push(Finding::error("double-file", Place::file(yaml), message).hint("keep one of them"));
            }
        }
    }
}

impl<P: Into<Arc<str>>, B: Into<Arc<[u8]>>> FromIterator<(P, B)> for Files {
    fn from_iter<I: IntoIterator<Item = (P, B)>>(files: I) -> Files {
        Files { files: files.into_iter().map(|(path, bytes)| (path.into(), bytes.into())).collect(), strange: Vec::new() }
    }
}

/// What a file is, by its path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Entry<'a> {
    Sources,
    /// `schemas/<event>/event.yaml`
    Event {
        folder: &'a str,
    },
    Schema {
        folder: &'a str,
        version: u32,
    },
    /// The name is relative to `transforms/`.
    Transform {
        name: &'a str,
    },
    Consumer {
        name: &'a str,
    },
    Environment {
        name: &'a str,
    },
    /// Notes for people.
    Ignored,
    /// Something that looks as if it were meant to be read, and how to make that so.
    Strange(&'static str),
}

impl<'a> Entry<'a> {
    /// Whether it may be written as YAML or as JSON.
    fn is_definition(self) -> bool {
        !matches!(self, Entry::Transform { .. } | Entry::Ignored | Entry::Strange(_))
    }

    pub fn of(path: &'a str) -> Entry<'a> {
        let mut parts = path.splitn(3, '/');
        let (folder, second, third) = (parts.next().unwrap_or_default(), parts.next(), parts.next());
        if path.ends_with(".md") || path.ends_with(".txt") && folder != "transforms" {
            return Entry::Ignored;
        }
        match (folder, second, third) {
            ("sources.yaml" | "sources.json", None, None) => Entry::Sources,
            ("schemas", Some(folder), Some(file)) => match definition(file) {
                Some("event") => Entry::Event { folder },
                Some(version) => match version.parse::<u32>() {
                    Ok(number) if number > 0 && number.to_string() == version => Entry::Schema { folder, version: number },
                    _ => Entry::Strange("a schema is named by its version, an integer from 1: `1.json`"),
                },
                None => Entry::Strange("a schema is named `<version>.json` or `<version>.yaml`, directly in its event's folder"),
            },
            ("schemas", ..) => Entry::Strange("a schema stands in its event's folder: `schemas/<event>/1.json`"),
            ("transforms", Some(_), _) => Entry::Transform { name: &path["transforms/".len()..] },
            ("consumers", Some(file), None) => match definition(file) {
                Some(name) => Entry::Consumer { name },
                None => Entry::Strange("a consumer is defined in `consumers/<name>.yaml`"),
            },
            ("environments", Some(file), None) => match definition(file) {
                Some(name) => Entry::Environment { name },
                None => Entry::Strange("an environment is `environments/<name>.yaml`"),
            },
            ("consumers", ..) => Entry::Strange("a consumer is defined in `consumers/<name>.yaml`, not in a folder below"),
            ("environments", ..) => Entry::Strange("an environment is `environments/<name>.yaml`, not in a folder below"),
            _ => Entry::Strange("the sources are in `sources.yaml`"),
        }
    }
}

/// The name of a `.yaml` or `.json` file that lies in no further folder.
fn definition(file: &str) -> Option<&str> {
    file.strip_suffix(".yaml").or_else(|| file.strip_suffix(".json")).filter(|name| !name.is_empty() && !name.contains('/'))
}

/// The names in a folder, sorted.
fn list(folder: &Path) -> Result<Vec<std::ffi::OsString>, ReadError> {
    let failed = |source| ReadError { path: folder.to_owned(), source };
    let names: io::Result<Vec<_>> = fs::read_dir(folder).map_err(failed)?.map(|entry| entry.map(|entry| entry.file_name())).collect();
    let mut names = names.map_err(failed)?;
    names.sort();
    Ok(names)
}

/// Hidden files (Kubernetes' `..data` among them) and what editors and merges leave behind.
fn is_leftover(name: &str) -> bool {
    const ENDS: [&str; 8] = ["~", ".swp", ".swo", ".swx", ".tmp", ".bak", ".orig", ".rej"];
    // Vim creates `4913` to see whether it may write into a folder.
    name.starts_with('.') || name.starts_with('#') || name == "4913" || ENDS.iter().any(|end| name.ends_with(end))
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        write!(text, "{byte:02x}").expect("writing to a String cannot fail");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(files: &[(&str, &str)]) -> Files {
        files.iter().map(|(path, text)| (*path, text.as_bytes().to_vec())).collect()
    }

    #[test]
    fn the_digest_does_not_depend_on_order_or_line_ends() {
        let unix = files(&[("sources.yaml", "a: 1\nb: 2\n"), ("consumers/a.yaml", "x\n")]);
        let windows = files(&[("consumers/a.yaml", "x\r\n"), ("sources.yaml", "a: 1\r\nb: 2\r\n")]);
        assert_eq!(unix.digest("dev"), windows.digest("dev"));
        assert_eq!(unix.digest("dev").short().len(), 12);
    }

    #[test]
    fn the_digest_depends_on_content_paths_and_environment() {
        let sets = [
            files(&[("sources.yaml", "a")]),
            files(&[("sources.yaml", "b")]),
            files(&[("sources.yaml", "a\n")]),
            files(&[("sources.yaml", "a\r")]),
            files(&[("sources.json", "a")]),
            files(&[("sources.yaml", "a"), ("environments/dev.yaml", "")]),
        ];
        let mut digests: Vec<_> = sets.iter().map(|set| set.digest("dev")).collect();
        digests.push(sets[0].digest("production"));
        digests.sort();
        digests.dedup();
        assert_eq!(digests.len(), 7);
    }

    #[test]
    fn other_environments_and_notes_leave_the_digest_alone() {
        let bare = files(&[("sources.yaml", "a")]);
        let more =
            files(&[("sources.yaml", "a"), ("environments/production.yaml", "b"), ("transforms/README.md", "c"), ("consumers/x.yml", "d")]);
        assert_eq!(bare.digest("dev"), more.digest("dev"));
        assert_eq!(more.of_environment("production").len(), 2);
    }

    #[test]
    fn a_path_says_what_a_file_is() {
        assert_eq!(Entry::of("schemas/kyc/12.yaml"), Entry::Schema { folder: "kyc", version: 12 });
        assert_eq!(Entry::of("schemas/kyc/event.yaml"), Entry::Event { folder: "kyc" });
        assert_eq!(Entry::of("transforms/a/b.json.j2"), Entry::Transform { name: "a/b.json.j2" });
        assert_eq!(Entry::of("consumers/a.yaml"), Entry::Consumer { name: "a" });
        for path in [
            "schemas/kyc/01.json",
            "schemas/kyc/0.json",
            "schemas/kyc/v1.json",
            "schemas/1.json",
            "schemas/a/b/1.json",
            "consumers/a.yml",
            "consumers/a/b.yaml",
            "sources.yml",
        ] {
            assert!(matches!(Entry::of(path), Entry::Strange(_)), "{path}");
        }
        assert_eq!(Entry::of("schemas/README.md"), Entry::Ignored);
    }
}
