//! `analytica validate`: checks a config root with no network.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use anyhow::Context;

use super::common::{Common, RootError};
use super::exit::Exit;
use super::report::{self, Format};
use crate::config::{self, Findings, ROOT_FILE, Settings};

#[derive(Debug, Clone, clap::Args)]
pub struct ValidateArgs {
    /// Config roots, or files and folders in one: then only what was found in those is shown [default: the root]
    #[arg(value_name = "PATH")]
    pub paths: Vec<PathBuf>,
    /// How findings are printed
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
}

/// Prints everything that is wrong. `Exit::Failure` where anything is an error.
pub fn run(common: &Common, args: &ValidateArgs) -> anyhow::Result<Exit> {
    let roots = match roots(args, common) {
        Ok(roots) => roots,
        Err(error) => {
            eprintln!("error: {error}");
            if let PathError::Root(error) = &error {
                eprintln!("hint: {}", error.hint());
            }
            return Ok(Exit::Usage);
        }
    };
    let mut found = Findings::default();
    let mut files = 0;
    for (root, shown) in &roots {
        let checked = check(root, &common.env).with_context(|| format!("cannot check {}", root.display()))?;
        files += checked.files;
        for finding in checked.findings.iter() {
            if shown.is_empty() || shown.iter().any(|path| within(&finding.at.file, path)) {
                found.push(finding.clone());
            }
        }
    }
    let source = |file: &str| roots.keys().find_map(|root| report::read(root, file));
    let mut out = io::stdout().lock();
    match report::print(&found, &source, files, args.format, &mut out, report::colour_on(&io::stdout())).and_then(|()| out.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {} // whoever reads has seen enough
        other => other.context("cannot write to stdout")?,
    }
    Ok(if found.has_errors() { Exit::Failure } else { Exit::Done })
}

/// All findings about one root, and in how many files they were looked for.
pub(super) struct Checked {
    pub(super) findings: Findings,
    pub(super) files: usize,
}

pub(super) fn check(root: &Path, environment: &str) -> Result<Checked, config::ReadError> {
    let files = config::Files::read(root)?;
    let loaded = config::load(&files, environment);
    let mut findings = loaded.findings.clone();
    findings.extend(crate::pipeline::check(&loaded));
    findings.extend(Settings::check(root));
    let own = usize::from(root.join(ROOT_FILE).is_file());
    Ok(Checked { findings: findings.sorted(), files: files.len() + own })
}

/// Each root to check, and the paths in it to show (none: everything).
type Roots = BTreeMap<PathBuf, Vec<String>>;

#[derive(Debug, thiserror::Error)]
enum PathError {
    #[error(transparent)]
    Root(#[from] RootError),
    #[error("cannot find {}: {source}", path.display())]
    Missing { path: PathBuf, source: io::Error },
    #[error("{} is not in the config root {}", path.display(), root.display())]
    Outside { path: PathBuf, root: PathBuf },
}

fn roots(args: &ValidateArgs, common: &Common) -> Result<Roots, PathError> {
    let mut roots = Roots::new();
    if args.paths.is_empty() {
        roots.insert(common.root()?, Vec::new());
        return Ok(roots);
    }
    let mut whole = Vec::new();
    for path in &args.paths {
        let real = |path: &Path| path.canonicalize().map_err(|source| PathError::Missing { path: path.to_owned(), source });
        let target = real(path)?;
        if target.join(ROOT_FILE).is_file() {
            whole.push(target.clone());
            roots.entry(target).or_default();
            continue;
        }
        let root = real(&common.root_from(&target)?)?;
        let inside = target.strip_prefix(&root).map_err(|_| PathError::Outside { path: path.clone(), root: root.clone() })?;
        let inside: Vec<_> = inside.iter().map(|part| part.to_string_lossy()).collect();
        roots.entry(root).or_default().push(inside.join("/"));
    }
    for root in whole {
        roots.insert(root, Vec::new());
    }
    Ok(roots)
}

/// Whether a finding's file is the path, or lies below it.
fn within(file: &str, path: &str) -> bool {
    path.is_empty() || file.strip_prefix(path).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}
