//! check, which is only ever a part of a multi, and the rule of versions that it shares with
//! everything conditional.

use alloc::string::String;

use super::acl;
use super::draft::Draft;
use crate::config::Config;
use crate::mutant::Mutant;
use crate::proto::{ErrorCode, perms};
use crate::tree::path;
use crate::txn::TxnBody;

// ZK: PrepRequestProcessor.pRequest2Txn (3.9): case check
pub(super) fn prepare(draft: &Draft<'_>, path: &str, version: i32) -> Result<TxnBody, ErrorCode> {
    draft.check_session()?;
    path::validate(path).map_err(|_| ErrorCode::BAD_ARGUMENTS)?;
    let node = if draft.config.planted(Mutant::CheckOfAppliedOnly) {
        draft.applied().get(path)
    } else {
        draft.get(path)
    };
    let node = node.ok_or(ErrorCode::NO_NODE)?;
    acl::check(node.acl, perms::READ, draft.caller.auth)?;
    let version = next_version(node.stat.version, version, draft.config)?;
    Ok(TxnBody::Check { path: String::from(path), version })
}

/// The version after a change that was asked for at `expected`, where -1 is any. Steps over -1: a
/// client could not name it.
// ZK: PrepRequestProcessor.checkAndIncVersion (3.10; ZOOKEEPER-4743)
pub(super) fn next_version(current: i32, expected: i32, config: &Config) -> Result<i32, ErrorCode> {
    if expected != -1 && expected != current {
        return Err(ErrorCode::BAD_VERSION);
    }
    match current.wrapping_add(1) {
        -1 if !config.planted(Mutant::VersionLandsOnMinusOne) => Ok(0),
        next => Ok(next),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Ensemble;
    use crate::ids::ServerId;

    #[test]
    fn versions_step_over_minus_one() {
        let config = Config::new(ServerId(1), Ensemble::default());
        for (current, expected, next) in [
            (0, -1, Ok(1)),
            (0, 0, Ok(1)),
            (0, 1, Err(ErrorCode::BAD_VERSION)),
            (0, -2, Err(ErrorCode::BAD_VERSION)),
            (i32::MAX, i32::MAX, Ok(i32::MIN)),
            (i32::MIN, i32::MIN, Ok(i32::MIN + 1)),
            (-2, -2, Ok(0)),
            (-2, -1, Ok(0)),
            // As upstream writes the configuration's node.
            (-1, -1, Ok(0)),
        ] {
            let found = next_version(current, expected, &config);
            assert_eq!(found, next, "{current} at {expected}");
        }
    }
}
