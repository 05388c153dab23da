//! A root of one's own, in an environment of one's own.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use analytica::config::{Files, RedisSettings, Resolved};
use analytica::store::{Publication, Redis};

/// A copy of the starter root. Each has an environment that no other test knows, so that all may share one Redis.
pub struct Root {
    folder: tempfile::TempDir,
    pub environment: String,
}

impl Root {
    pub fn new() -> Root {
        let root = Root { folder: tempfile::tempdir().unwrap(), environment: format!("t{}", uuid::Uuid::new_v4().simple()) };
        let starter = Path::new(env!("CARGO_MANIFEST_DIR"));
        for name in ["sources.yaml", "schemas", "transforms", "consumers"] {
            copy(&starter.join(name), &root.path(name));
        }
        root.write(&format!("environments/{}.yaml", root.environment), "version: 1\n");
        let settings = format!("version: 1\nkafka: {{ brokers: [\"{}\"] }}\nredis: {{ url: \"{}\" }}\n", brokers(), redis_url());
        root.write("analytica.yaml", &settings);
        root
    }

    /// The same files, for the same environment, somewhere else.
    pub fn twin(&self) -> Root {
        let twin = Root { folder: tempfile::tempdir().unwrap(), environment: self.environment.clone() };
        copy(self.folder.path(), twin.folder.path());
        twin
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn write(&self, name: &str, text: &str) {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    pub fn files(&self) -> Files {
        Files::read(self.folder.path()).unwrap().of_environment(&self.environment)
    }

    /// The binary on this root; its environment holds nothing of the test's own that could name a person or a commit.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_analytica"));
        command.arg("--root").arg(self.folder.path()).args(["--env", &self.environment]).args(arguments);
        for name in ["GITHUB_ACTOR", "GITLAB_USER_LOGIN", "GITHUB_SHA", "CI_COMMIT_SHA"] {
            command.env_remove(name);
        }
        command.env("NO_COLOR", "1").stdin(Stdio::null());
        command
    }

    pub fn run(&self, arguments: &[&str]) -> Ran {
        Ran::from(self.command(arguments).output().expect("start analytica"))
    }

    pub fn redis(&self) -> Redis {
        redis(&self.environment)
    }

    pub async fn current(&self) -> Option<Publication> {
        self.redis().current().await.unwrap()
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
}

/// What a run of the binary ended with.
#[derive(Debug)]
pub struct Ran {
    pub code: i32,
    pub out: String,
    pub err: String,
}

impl From<Output> for Ran {
    fn from(output: Output) -> Ran {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Ran { code: output.status.code().unwrap_or(-1), out: text(&output.stdout), err: text(&output.stderr) }
    }
}

pub fn redis(environment: &str) -> Redis {
    let url = Resolved::new("redis://test", redis_url());
    Redis::new(&RedisSettings { url, refresh: std::time::Duration::from_secs(30) }, environment).unwrap()
}

pub fn redis_url() -> String {
    std::env::var("REDIS_URL").expect("REDIS_URL names no Redis: run scripts/test.sh, which starts one")
}

pub fn brokers() -> String {
    std::env::var("KAFKA_BROKERS").expect("KAFKA_BROKERS names no broker: run scripts/test.sh, which starts one")
}

fn copy(from: &Path, to: &Path) {
    if from.is_dir() {
        std::fs::create_dir_all(to).unwrap();
        for entry in std::fs::read_dir(from).unwrap() {
            let entry = entry.unwrap();
            copy(&entry.path(), &to.join(entry.file_name()));
        }
    } else {
        std::fs::copy(from, to).unwrap();
    }
}
