//! The consumers that an operator may name.

use std::collections::{BTreeMap, BTreeSet};

use super::look_up;
use crate::config::{Files, SinkKind, load};
use crate::store::{Redis, StoreError};

/// The enabled consumers of a set, with the type of their sinks; as many as this version can read.
pub(super) fn of_set(files: &Files, environment: &str) -> BTreeMap<String, SinkKind> {
    load(files, environment).draft().consumers.values().map(|consumer| (consumer.name.to_string(), consumer.kind())).collect()
}

/// Every consumer of the published set, and those that workers still drain or that are paused: an operator may have to stop these just as well, and
/// most of all where the published set is broken.
pub async fn known_consumers(redis: &mut Redis) -> Result<BTreeSet<String>, StoreError> {
    let mut names: BTreeSet<String> = redis.paused().await?.into_keys().collect();
    names.extend(redis.workers().await?.into_iter().flat_map(|worker| worker.consumers.into_keys()));
    if let Ok(published) = look_up(redis, None).await {
        names.extend(of_set(&published.files, redis.environment()).into_keys());
    }
    Ok(names)
}
