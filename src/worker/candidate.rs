//! A config set compiled beside the live one.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::config::{self, ConfigSet, Files, Findings};
use crate::pipeline::Pipeline;
use crate::store::Publication;

/// A set that compiles, and what it compiled to.
#[derive(Clone)]
pub struct Candidate {
    pub set: Arc<ConfigSet>,
    /// What it was made of, for the cache.
    pub files: Arc<Files>,
    /// None: it stands in a folder.
    pub publication: Option<Publication>,
    pub pipeline: Arc<Pipeline>,
    pub compiled_in: Duration,
}

impl Candidate {
    /// Reads and compiles on a blocking thread: large sets take longer than an async worker may be held.
    pub async fn compile(files: Arc<Files>, publication: Option<Publication>, environment: &Arc<str>) -> Result<Candidate, Findings> {
        let environment = Arc::clone(environment);
        let compiled = tokio::task::spawn_blocking(move || compile(files, publication, &environment)).await;
        // a panic in there is a bug in the compiler of the set: it goes on where it came from
        compiled.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()))
    }
}

fn compile(files: Arc<Files>, publication: Option<Publication>, environment: &str) -> Result<Candidate, Findings> {
    let began = Instant::now();
    // another environment's broken overlay is no reason not to run this one
    let loaded = config::load(&files.of_environment(environment), environment);
    let set = match loaded.set {
        Some(set) if !loaded.findings.has_errors() => set,
        _ => return Err(loaded.findings),
    };
    let pipeline = Pipeline::compile(&set)?;
    Ok(Candidate { set: Arc::new(set), files, publication, pipeline: Arc::new(pipeline), compiled_in: began.elapsed() })
}
