//! A Kafka of a test's own, to be hung, killed and started again.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use tempfile::TempDir;

use crate::worker::eventually;

/// One broker; it ends with the test.
pub struct Broker {
    pub address: String,
    folder: TempDir,
}

impl Broker {
    pub fn start() -> Broker {
        let folder = tempfile::tempdir().expect("temp dir");
        let address = start(folder.path(), &[]);
        Broker { address, folder }
    }

    /// As a machine that loses its power: nothing is said to anybody.
    pub fn kill(&self) {
        self.signal("-KILL");
        std::fs::remove_file(self.pid_file()).expect("its pid file");
        eventually("the broker to be gone", || std::net::TcpStream::connect(&self.address).is_err());
    }

    /// On the data that it had when it was killed.
    pub fn start_again(&self) {
        let (_, port) = self.address.rsplit_once(':').expect("host:port");
        start(self.folder.path(), &["--keep", "--port", port]);
    }

    /// It keeps its connections and answers nothing.
    pub fn hang(&self) {
        self.signal("-STOP");
    }

    fn signal(&self, signal: &str) {
        let pid = std::fs::read_to_string(self.pid_file()).expect("its pid");
        assert!(Command::new("kill").args([signal, pid.trim()]).status().expect("kill").success());
    }

    fn pid_file(&self) -> PathBuf {
        self.folder.path().join("1.pid")
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        if self.pid_file().exists() {
            self.signal("-KILL");
        }
    }
}

fn start(folder: &Path, arguments: &[&str]) -> String {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/kafka/start.sh");
    let mut command = Command::new(script);
    let output = command.arg("--dir").arg(folder).args(arguments).stderr(Stdio::inherit()).output().expect("start.sh runs");
    assert!(output.status.success(), "start.sh failed: it says why above");
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}
