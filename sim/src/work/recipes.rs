//! What people run on top of the service, step by step: a counter, a lock, a configuration that is
//! watched. Each step waits for the answer to the one before.

use bytes::Bytes;
use zebu_core::proto::{ErrorCode, Request, Response, create_flags};

use super::{Work, WorkKind, create, number};
use crate::decide::Draw;

/// Where a recipe stands: what is to be asked next once nothing is outstanding.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Recipe {
    Read,
    Write {
        version: i32,
        value: u64,
    },
    Enqueue,
    Look {
        mine: String,
    },
    WaitFor {
        mine: String,
        before: String,
    },
    /// Until an event comes, or the session is new.
    Waiting {
        mine: String,
        patience: u32,
    },
    Hold {
        mine: String,
    },
    Release {
        mine: String,
    },
}

impl Work {
    pub(super) fn next_of_value(&mut self, draw: &mut Draw) -> Option<Request> {
        let path = self.recipe_path();
        match std::mem::replace(&mut self.recipe, Recipe::Read) {
            Recipe::Write { version, value } => {
                let data = Some(Bytes::from(value.to_string()));
                Some(Request::SetData { path, data, version })
            }
            Recipe::Waiting { patience, .. } if patience > 0 && !draw.one_in(8) => {
                self.recipe = Recipe::Waiting { mine: String::new(), patience: patience - 1 };
                None
            }
            _ => Some(Request::GetData { path, watch: self.kind == WorkKind::Config }),
        }
    }

    pub(super) fn next_of_lock(&mut self) -> Option<Request> {
        match self.recipe.clone() {
            Recipe::Look { .. } => {
                Some(Request::GetChildren { path: "/lock".into(), watch: false })
            }
            Recipe::WaitFor { before, .. } => {
                Some(Request::Exists { path: format!("/lock/{before}"), watch: true })
            }
            Recipe::Waiting { mine, patience } => {
                // An event may have been folded into a reconnect: look again after a while.
                self.recipe = match patience {
                    0 => Recipe::Look { mine },
                    _ => Recipe::Waiting { mine, patience: patience - 1 },
                };
                None
            }
            Recipe::Hold { mine } => Some(Request::SetData {
                path: "/lock".into(),
                data: Some(mine.into()),
                version: -1,
            }),
            Recipe::Release { mine } => {
                Some(Request::Delete { path: format!("/lock/{mine}"), version: -1 })
            }
            Recipe::Enqueue | Recipe::Read | Recipe::Write { .. } => {
                let data = self.data();
                Some(create("/lock/n-".into(), data, create_flags::EPHEMERAL_SEQUENTIAL))
            }
        }
    }

    pub(super) fn counted(&mut self, request: &Request, result: &Result<Response, ErrorCode>) {
        if let (Request::GetData { .. }, Ok(Response::Data { data, stat })) = (request, result) {
            let value = number(data.as_ref()) + 1;
            self.recipe = Recipe::Write { version: stat.version, value };
        }
    }

    pub(super) fn configured(
        &mut self,
        request: &Request,
        result: &Result<Response, ErrorCode>,
        draw: &mut Draw,
    ) {
        if let (Request::GetData { .. }, Ok(Response::Data { data, stat })) = (request, result) {
            self.recipe = if draw.one_in(4) {
                Recipe::Write { version: stat.version, value: number(data.as_ref()) + 1 }
            } else {
                Recipe::Waiting { mine: String::new(), patience: 20 }
            };
        }
    }

    pub(super) fn locked(&mut self, request: &Request, result: &Result<Response, ErrorCode>) {
        let recipe = self.recipe.clone();
        self.recipe = match (recipe, request, result) {
            (Recipe::Enqueue, Request::Create(create), Ok(Response::Path(path)))
                if create.path == "/lock/n-" =>
            {
                Recipe::Look { mine: path.trim_start_matches("/lock/").to_owned() }
            }
            (Recipe::Look { mine }, _, Ok(Response::Children(children))) => {
                let mut queue: Vec<&String> = children.iter().collect();
                queue.sort();
                match queue.iter().position(|name| **name == mine) {
                    None => Recipe::Enqueue,
                    Some(0) => Recipe::Hold { mine },
                    Some(n) => Recipe::WaitFor { mine, before: queue[n - 1].clone() },
                }
            }
            (Recipe::WaitFor { mine, .. }, _, Ok(_)) => Recipe::Waiting { mine, patience: 40 },
            (Recipe::WaitFor { mine, .. }, _, Err(_)) => Recipe::Look { mine },
            (Recipe::Hold { mine }, _, Ok(_)) => Recipe::Release { mine },
            (Recipe::Release { .. }, ..) | (_, _, Err(_)) => Recipe::Enqueue,
            (recipe, _, Ok(_)) => recipe,
        };
    }
}
