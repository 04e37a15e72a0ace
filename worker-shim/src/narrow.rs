//! Less of a capability that an agent has, for a task of its: made where the capability itself was made, and handed on from
//! kernel to kernel, so that the gate of every agent on the way is in front of it.
//!
//! The page asks the parent's kernel by [`narrow`]. What was made there is made less there. Of what came from elsewhere (the
//! device worker, the kernel of the parent's own parent) it says whence; the page has it made less there by the same call,
//! for the parent as the client, and has the parent's kernel [`adopt`] the outcome.

use capfs::device::gate::Gate;
use capfs::{Errno, FileKind, NodeRef};
use capfs_devices::grant::{DeviceKind, Grant};
use capfs_devices::task::{Refusal, source};
use wasm_bindgen::prelude::*;

use crate::control::named;
use crate::devices;
use crate::grants::parse;
use crate::machine::{self, Kind, with_machine};
use crate::protocol::{
    AdoptOrder, JsAdoptOrder, JsNarrowRequest, JsNarrowing, JsRemoteTree, NarrowRefused,
    NarrowRequest, NarrowThere, NarrowedHere, Narrowing, Post, RemoteTree,
};
use crate::remote::client;
use crate::remote::server::{self, Tree};

/// What a grant is about: of what this kernel's agent holds, or of a tree that a client has here.
fn found(client: u32, tree: u32, grant: &Grant) -> Result<(Kind, Option<Gate>, String), Refusal> {
    if tree == 0 {
        let held = with_machine(|machine| machine.held.clone()).unwrap_or_default();
        let held = source(held.iter().map(|held| (&held.grant, held)), grant)?;
        let at = held.grant.at.clone();
        return Ok((held.kind.clone(), Some(held.gate.clone()), at));
    }
    let tree = server::tree(client, tree).ok_or_else(|| Refusal {
        errno: Errno::Noent,
        text: "the parent's capability is gone".to_owned(),
    })?;
    Ok((tree.kind, tree.gate, String::new()))
}

/// Makes less of a capability for a client.
///
/// # Errors
/// A sentence that says which field of the request isn't as it must be. What is refused is an answer.
#[wasm_bindgen]
pub fn narrow(request: JsNarrowRequest) -> Result<JsNarrowing, JsValue> {
    let answer = less(NarrowRequest::of(&request)?);
    let answer = answer.unwrap_or_else(|Refusal { errno, text }| Narrowing {
        here: None,
        there: None,
        refused: Some(NarrowRefused {
            errno: errno.name().to_owned(),
            text,
        }),
    });
    Ok(answer.told())
}

/// The answer that a tree was made here, or could be.
fn here(tree: Option<RemoteTree>) -> Narrowing {
    Narrowing {
        here: Some(NarrowedHere { tree }),
        there: None,
        refused: None,
    }
}

fn less(request: NarrowRequest) -> Result<Narrowing, Refusal> {
    let NarrowRequest {
        client,
        tree,
        device,
        terms,
        check: only_check,
    } = request;
    let invalid = |text: String| Refusal {
        errno: Errno::Inval,
        text,
    };
    let grant = parse(&device, terms);
    let grant = grant.map_err(|error| invalid(error.as_string().unwrap_or_default()))?;
    let (kind, gate, at) = found(client, tree, &grant)?;
    // A part of the page is another kernel's, but nobody can make less of it.
    let whole = matches!(grant.device, DeviceKind::Dom | DeviceKind::Opfs);
    match kind {
        Kind::There { peer, tree } if !whole => {
            // Its own kernel looks at the terms again, but may be told nothing of tasks.
            devices::check(&grant).map_err(|error| invalid(error.to_string()))?;
            Ok(Narrowing {
                here: None,
                there: Some(NarrowThere { peer, tree, at }),
                refused: None,
            })
        }
        Kind::Here(capability) => {
            // What the child holds by it is held here, and is a part of what its parent may.
            let account = match (server::account(client), only_check) {
                (Ok(account), _) => account,
                (Err(_), true) => machine::account(),
                (Err(errno), false) => return Err(gone(errno)),
            };
            let less = capability.narrowed(&grant, &account);
            let less = less.map_err(|error| invalid(error.to_string()))?;
            if only_check {
                return Ok(here(None));
            }
            let kind = less.root().qid().kind as u32;
            let root = guarded(gate.as_ref(), less.root().clone());
            let made = server::export(
                client,
                Tree {
                    root,
                    kind: Kind::Here(less),
                    gate,
                    end: None,
                },
            );
            let number = made.map_err(|(errno, tree)| {
                tree.revoke();
                gone(errno)
            })?;
            Ok(here(Some(RemoteTree { number, kind })))
        }
        _ => Err(Refusal {
            errno: Errno::Notsup,
            text: format!(
                "{} is handed on by binding its directory",
                grant.device.name()
            ),
        }),
    }
}

/// Nobody is there any more for whom it would be made.
fn gone(errno: Errno) -> Refusal {
    let text = "the task for which it is has ended".to_owned();
    Refusal { errno, text }
}

fn guarded(gate: Option<&Gate>, root: NodeRef) -> NodeRef {
    match gate {
        Some(gate) => gate.guard(root),
        None => root,
    }
}

/// Hands a tree that another kernel has made for this one on to a client, behind the gate of what it is less of: what the
/// agent has at this path, or else the tree of this number that the client has. Returns the client's tree.
///
/// # Errors
/// `ENOENT`: that is gone; `ESTALE`: the client is. Then the other kernel is told that nobody has its tree.
#[wasm_bindgen]
pub fn adopt(order: JsAdoptOrder) -> Result<JsRemoteTree, JsValue> {
    let AdoptOrder {
        client,
        of,
        at,
        peer,
        tree: RemoteTree { number, kind },
        post: Post(post),
    } = AdoptOrder::of(&order)?;
    let file_kind = FileKind::from_number(kind);
    // First of all: what can't be handed on is given back.
    let root = client::attach(peer, number, file_kind, "", post).map_err(|errno| {
        client::revoke(peer, number);
        named(errno)
    })?;
    let gate = match of {
        0 => {
            let held = with_machine(|machine| machine.held.clone()).unwrap_or_default();
            held.into_iter()
                .find(|held| held.grant.at == at)
                .map(|held| held.gate)
        }
        of => server::tree(client, of).and_then(|tree| tree.gate),
    };
    let there = Kind::There { peer, tree: number };
    let made = match gate {
        None => Err(Errno::Noent),
        Some(gate) => {
            let made = Tree {
                root: gate.guard(root),
                kind: there,
                gate: Some(gate),
                end: None,
            };
            server::export(client, made).map_err(|(errno, _)| errno)
        }
    };
    match made {
        Ok(made) => Ok(RemoteTree { number: made, kind }.told()),
        Err(errno) => {
            client::revoke(peer, number);
            Err(named(errno))
        }
    }
}
