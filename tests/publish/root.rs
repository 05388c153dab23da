//! A root of a test's own, an environment of its own in Redis, and the binary on both.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use analytica::config::{Files, RedisSettings, Resolved, load};
use analytica::store::{Counts, Expected, Kind, Label, Outcome, Publication, Redis, Revision};

/// The commit that `Root::publish` names.
pub const COMMIT: &str = "a1b2c3d4e5f60718293a4b5c6d7e8f9012345678";

pub fn redis_url() -> String {
    std::env::var("REDIS_URL").expect("REDIS_URL names a Redis for the tests: scripts/test.sh starts one")
}

/// The starter root in a folder that may be changed.
pub struct Root {
    folder: tempfile::TempDir,
    pub environment: String,
}

/// What the binary did.
#[derive(Debug)]
pub struct Ran {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

impl Root {
    pub fn starter() -> Root {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let project = Path::new(env!("CARGO_MANIFEST_DIR"));
        for part in ["schemas", "transforms", "consumers"] {
            copy(&project.join(part), &folder.path().join(part));
        }
        fs::copy(project.join("sources.yaml"), folder.path().join("sources.yaml")).expect("the starter root is there");
        let root = Root { folder, environment: format!("t{}", uuid::Uuid::new_v4().simple()) };
        let settings = format!("version: 1\nkafka: {{ brokers: [\"{}\"] }}\nredis: {{ url: \"{}\" }}\n", brokers(), redis_url());
        root.file("analytica.yaml", &settings);
        root.file(&format!("environments/{}.yaml", root.environment), "version: 1\n");
        root
    }

    /// The same files, for the same environment, somewhere else.
    pub fn twin(&self) -> Root {
        let twin = Root { folder: tempfile::tempdir().expect("a temporary folder"), environment: self.environment.clone() };
        copy(self.folder.path(), twin.folder.path());
        twin
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn file(&self, path: &str, text: &str) {
        let file = self.folder.path().join(path);
        fs::create_dir_all(file.parent().expect("files lie in a folder")).expect("folders can be made");
        fs::write(file, text).expect("files can be written");
    }

    #[track_caller]
    pub fn edit(&self, path: &str, from: &str, to: &str) {
        let text = fs::read_to_string(self.folder.path().join(path)).expect("a file of the root");
        assert!(text.contains(from), "{path} has no {from:?}");
        self.file(path, &text.replace(from, to));
    }

    pub fn files(&self) -> Files {
        Files::read(self.folder.path()).expect("the root can be read").of_environment(&self.environment)
    }

    /// `analytica <args>` on this root, environment and Redis; nothing of our own environment reaches it that could name a person or a commit.
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_analytica"));
        // git needs a home and a path
        let ours = std::env::vars().filter(|(name, _)| ["PATH", "HOME"].contains(&name.as_str()));
        command.env_clear().envs(ours).env("ANALYTICA_ENV", &self.environment);
        command.args(args).arg("--root").arg(self.folder.path()).current_dir(self.folder.path());
        command
    }

    pub fn run(&self, args: &[&str]) -> Ran {
        ran(&mut self.command(args))
    }

    pub fn redis(&self) -> Redis {
        redis(&self.environment)
    }

    pub async fn current(&self) -> Option<Publication> {
        self.redis().current().await.expect("Redis answers")
    }

    /// What git prints, in the root.
    pub fn git(&self, arguments: &[&str]) -> String {
        let output = Command::new("git")
            .arg("-C")
            .arg(self.folder.path())
            .args(["-c", "user.name=Ana", "-c", "user.email=ana@example.org"])
            .args(arguments)
            .output()
            .unwrap();
        assert!(output.status.success(), "git {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    /// Commits all that is there; answers the commit.
    pub fn commit(&self, message: &str) -> String {
        self.git(&["add", "-A"]);
        self.git(&["commit", "-q", "--allow-empty", "-m", message]);
        self.git(&["rev-parse", "HEAD"])
    }

    /// Publishes the root as it stands, without the binary.
    pub fn publish(&self) -> Publication {
        let files = self.files();
        let set = load(&files, &self.environment).set.expect("a root without findings");
        let label = Label {
            kind: Kind::Apply,
            by: "ana".to_owned(),
            message: None,
            git_commit: Some(COMMIT.to_owned()),
            dirty: false,
            forced: false,
            counts: Counts::of(&set),
        };
        block_on(async {
            let mut redis = self.redis();
            let current = redis.current().await.expect("Redis answers");
            let next = current.as_ref().map_or(0, |current| current.revision.generation) + 1;
            let revision = Revision { epoch: 1, generation: next };
            match redis.publish(&files, &Expected::from(current.as_ref()), revision, &label).await {
                Ok(Outcome::Published(publication)) => publication,
                other => panic!("{other:?}"),
            }
        })
    }

    /// Removes a key of the environment, such as `current`.
    pub fn forget(&self, key: &str) {
        let removed: u32 =
            redis::cmd("DEL").arg(format!("{{analytica:{}}}:{key}", self.environment)).query(&mut connection()).expect("Redis answers");
        assert_eq!(removed, 1, "there is no {key}");
    }
}

impl Drop for Root {
    fn drop(&mut self) {
        // Only tidiness, and a test that fails for want of Redis must say so rather than panic twice
        let Ok(url) = std::env::var("REDIS_URL") else { return };
        let Ok(mut connection) = redis::Client::open(url).and_then(|client| client.get_connection()) else { return };
        let keys: Vec<String> =
            redis::cmd("KEYS").arg(format!("{{analytica:{}}}:*", self.environment)).query(&mut connection).unwrap_or_default();
        for key in keys {
            let _: Result<(), _> = redis::cmd("DEL").arg(key).query(&mut connection);
        }
    }
}

pub fn redis(environment: &str) -> Redis {
    let settings = RedisSettings { url: Resolved::new("REDIS_URL", redis_url()), refresh: Duration::from_secs(30) };
    Redis::new(&settings, environment).expect("REDIS_URL is an address")
}

pub fn brokers() -> String {
    std::env::var("KAFKA_BROKERS").expect("KAFKA_BROKERS names no broker: run scripts/test.sh, which starts one")
}

pub fn ran(command: &mut Command) -> Ran {
    let output = command.output().expect("the binary runs");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("output is UTF-8");
    Ran { code: output.status.code().expect("it ended by itself"), stdout: text(output.stdout), stderr: text(output.stderr) }
}

pub fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime").block_on(future)
}

fn connection() -> redis::Connection {
    redis::Client::open(redis_url()).and_then(|client| client.get_connection()).expect("Redis answers")
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("folders can be made");
    for entry in fs::read_dir(from).expect("a folder of the starter root") {
        let entry = entry.expect("an entry");
        let target = to.join(entry.file_name());
        match entry.file_type().expect("a type").is_dir() {
            true => copy(&entry.path(), &target),
            false => drop(fs::copy(entry.path(), target).expect("files can be copied")),
        }
    }
}
