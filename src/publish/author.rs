//! Who publishes, pauses or rolls back.

use std::process::{Command, Stdio};

/// The person behind a CI job, else the one git knows, else the account.
pub fn author() -> String {
    let variable = |name: &str| std::env::var(name).ok();
    let found = variable("GITHUB_ACTOR").and_then(named).or_else(|| variable("GITLAB_USER_LOGIN").and_then(named));
    let found = found.or_else(|| git_user().and_then(named)).or_else(|| variable("USER").and_then(named));
    found.unwrap_or_else(|| "somebody".to_owned())
}

fn named(name: String) -> Option<String> {
    let name = name.trim();
    (!name.is_empty()).then(|| name.to_owned())
}

/// None where there is no git, or where it knows nobody.
fn git_user() -> Option<String> {
    let answer = Command::new("git").args(["config", "user.name"]).stderr(Stdio::null()).output().ok()?;
    answer.status.success().then(|| String::from_utf8_lossy(&answer.stdout).into_owned())
}
