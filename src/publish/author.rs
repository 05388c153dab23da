//! Who publishes.

use std::process::Command;

/// The person or job behind this process: CI's actor, git's user, the system's user.
pub fn author() -> String {
    let variable = |name: &&str| std::env::var(name).ok().filter(|value| !value.trim().is_empty());
    let git = || {
        let output = Command::new("git").args(["config", "user.name"]).output().ok()?;
        let name = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        (output.status.success() && !name.is_empty()).then_some(name)
    };
    ["GITHUB_ACTOR", "GITLAB_USER_LOGIN"]
        .iter()
        .find_map(variable)
        .or_else(git)
        .or_else(|| ["USER", "LOGNAME"].iter().find_map(variable))
        .unwrap_or_else(|| "unknown".to_owned())
}
