//! The exit codes of every verb: the one list. Scripts rely on it; a number never changes its meaning.

use std::process::ExitCode;

/// How a verb ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// 0: it did what it was asked to; `validate` found no error (warnings do not count).
    Done,
    /// 1: findings, or a failure that stderr tells of.
    Failure,
    /// 2: the command line makes no sense: an unknown flag (clap's own exits too), a root or file that is not there.
    Usage,
    /// 3: `plan --exit-code` found something to change.
    Pending,
    /// 4: somebody else published since the plan was made; nothing was changed.
    Conflict,
    /// 5: `apply` published, but not every worker runs the new revision yet.
    NotConverged,
}

impl Exit {
    pub fn code(self) -> u8 {
        match self {
            Exit::Done => 0,
            Exit::Failure => 1,
            Exit::Usage => 2,
            Exit::Pending => 3,
            Exit::Conflict => 4,
            Exit::NotConverged => 5,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> ExitCode {
        ExitCode::from(exit.code())
    }
}
