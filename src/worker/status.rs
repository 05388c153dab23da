//! What a worker says of itself.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use tracing::error;

use crate::config::{Digest, Files, Findings};
use crate::store::{ConsumerReport, Revision};

/// What a worker runs.
#[derive(Debug, Clone, Default)]
pub struct Status {
    /// The live set; none before the first.
    pub digest: Option<Digest>,
    /// Of the live set, where it was published.
    pub revision: Option<Revision>,
    /// When it went live.
    pub since: Option<Timestamp>,
    /// How many sets went live.
    pub reloads: u64,
    /// The last set that was not taken, until one is.
    pub refused: Option<Refused>,
    /// Why a compiled set is not live yet.
    pub waiting: Option<String>,
    /// Records of events topics that are not taken up yet.
    pub lag: u64,
    /// It drains, and ends then.
    pub stopping: bool,
    /// Of each consumer that this worker delivers for.
    pub consumers: BTreeMap<String, ConsumerReport>,
}

/// A set that does not compile.
#[derive(Debug, Clone)]
pub struct Refused {
    pub findings: Findings,
    /// The files it was made of, for the findings' snippets.
    pub files: Arc<Files>,
    /// Where it was published.
    pub revision: Option<Revision>,
}

/// More findings than this are counted, not listed: a log is not where one reads hundreds of them.
const LISTED: usize = 20;

pub(super) fn log_refused(findings: &Findings, live: Option<&Digest>) {
    let digest = live.map(Digest::short).unwrap_or("none");
    error!(
        live = digest,
        findings = findings.len(),
        "the changed config is refused, the last good one goes on; `analytica validate` shows why"
    );
    for finding in findings.iter().take(LISTED) {
        error!(at = %finding.at, code = finding.code, hint = finding.hint.as_deref(), "{}", finding.message);
    }
}
