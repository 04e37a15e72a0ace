//! What agents are granted: capabilities made here or in another kernel, put behind gates, and taken away.

use std::rc::Rc;
use std::sync::Arc;

use capfs::clock::Clock;
use capfs::device::gate::{Gate, Observer, Watch};
use capfs::{FileKind, NodeRef, Rights};
use capfs_devices::audit::Audit;
use capfs_devices::grant::{DeviceKind, Grant};
use wasm_bindgen::prelude::*;

use crate::control::{machine, named, not_ended, sentence};
use crate::machine::{Held, Kind, ToMount, account, with_machine};
use crate::protocol::{
    ClientGrant, GrantOrder, JsClientGrant, JsGrantOrder, JsRemoteTree, JsTreeGrant, Post,
    RemoteTree, TellAudit, TreeGrant,
};
use crate::remote::server::Tree;
use crate::remote::{client, server};
use crate::{devices, opfs, web};

/// Reads a grant; `terms` alternates keys and values, `at` among them.
pub fn parse(device: &str, terms: Vec<String>) -> Result<Grant, JsValue> {
    let (pairs, _) = terms.as_chunks::<2>();
    let pairs = pairs
        .iter()
        .map(|[key, value]| (key.clone(), value.clone()));
    Grant::from_pairs(device, pairs).map_err(|error| sentence(&error))
}

/// That a grant has a place beside what was granted before.
fn vacant(grant: Grant) -> Result<Grant, JsValue> {
    let clash = with_machine(|machine| machine.places.clash(&grant));
    match clash.flatten() {
        Some(clash) => Err(sentence(&clash)),
        None => Ok(grant),
    }
}

/// Reads a grant as [`grant`] does, and gives nothing; returns where it would appear.
///
/// # Errors
/// A sentence that says what is wrong with the grant.
#[wasm_bindgen]
pub fn check_grant(device: &str, terms: Vec<String>) -> Result<String, JsValue> {
    let grant = parse(device, terms)?;
    devices::check(&grant).map_err(|error| sentence(&error))?;
    Ok(grant.at)
}

/// Makes the capability that a grant names, for [`mount_all`](crate::control::mounts::mount_all); returns where it will
/// be.
///
/// # Errors
/// A sentence that says what is wrong with the grant, or what this engine lacks; for stored files that can't be used, an error with a code.
#[wasm_bindgen]
pub async fn grant(order: JsGrantOrder) -> Result<String, JsValue> {
    let GrantOrder {
        identity,
        agent,
        device,
        terms,
        audit,
    } = GrantOrder::of(&order)?;
    let grant = vacant(parse(&device, terms)?)?;
    if grant.device == DeviceKind::Opfs {
        let clock = machine(|machine| Ok(machine.clock.clone()))?;
        let granted = opfs::granted(&grant, &identity, clock).await?;
        for (path, file) in granted.beside {
            mount_node(file, &path, Rights::RO, grant.device)?;
        }
        let (tree, rights) = (granted.tree, granted.rights);
        return install(&agent, grant, Kind::Whole, tree, rights, audit);
    }
    let capability = devices::capability(&grant, &identity, &account()).await?;
    let root = capability.root().clone();
    install(
        &agent,
        grant,
        Kind::Here(capability),
        root,
        Rights::RW,
        audit,
    )
}

/// Takes a capability that another kernel has made for this one by [`remote_grant`], as [`grant`] makes one.
///
/// # Errors
/// A sentence that says what is wrong with the grant.
#[wasm_bindgen]
pub fn grant_from(order: JsTreeGrant) -> Result<String, JsValue> {
    let TreeGrant {
        agent,
        device,
        terms,
        audit,
        peer,
        tree: RemoteTree { number, kind },
        post: Post(post),
    } = TreeGrant::of(&order)?;
    let grant = vacant(parse(&device, terms)?)?;
    let kind = FileKind::from_number(kind);
    let root = client::attach(peer, number, kind, "", post).map_err(named)?;
    let kind = Kind::There { peer, tree: number };
    install(&agent, grant, kind, root, Rights::RW, audit)
}

/// Makes the capability that a grant names for a client of this kernel; returns its tree.
///
/// # Errors
/// A sentence that says what is wrong with the grant, or what this engine lacks.
#[wasm_bindgen]
pub async fn remote_grant(order: JsClientGrant) -> Result<JsRemoteTree, JsValue> {
    let ClientGrant {
        client,
        identity,
        agent,
        device,
        terms,
        audit,
    } = ClientGrant::of(&order)?;
    let grant = parse(&device, terms)?;
    let account = server::account(client).map_err(named)?;
    let capability = devices::capability(&grant, &identity, &account).await?;
    if let Some(audit) = audit {
        let audit = observer(&agent, &grant, audit, Arc::new(web::UntickedClock));
        capability.observe_calls(audit);
    }
    let root = capability.root().clone();
    exported(client, root, Kind::Here(capability), None)
}

/// Hands a client a device of its own; returns what [`remote_grant`] does.
///
/// # Errors
/// The name of an errno, see [`server::export`]: then what the device does is ended.
fn exported(
    client: u32,
    root: NodeRef,
    kind: Kind,
    end: Option<Rc<dyn Fn()>>,
) -> Result<JsRemoteTree, JsValue> {
    let kind_of_root = root.qid().kind as u32;
    let gate = None;
    let tree = Tree {
        root,
        kind,
        gate,
        end,
    };
    let number = handed(client, tree)?;
    let kind = kind_of_root;
    Ok(RemoteTree { number, kind }.told())
}

/// Hands a client a tree, or ends what is behind it.
fn handed(client: u32, tree: Tree) -> Result<u32, JsValue> {
    server::export(client, tree).map_err(|(errno, tree)| {
        tree.revoke();
        named(errno)
    })
}

/// Makes `dom` for a client of this kernel, over a part of the page; returns what [`remote_grant`] does.
///
/// # Errors
/// A sentence that says what is wrong with the grant.
#[cfg(feature = "capabilities")]
#[wasm_bindgen]
pub fn remote_grant_dom(
    client: u32,
    terms: Vec<String>,
    part: devices::web::dom::JsPart,
) -> Result<JsRemoteTree, JsValue> {
    let grant = parse("dom", terms)?;
    let page = part.clone();
    let root = devices::web::dom::part(&grant, part)?;
    let end: Rc<dyn Fn()> = Rc::new(move || page.end());
    exported(client, root, Kind::Whole, Some(end))
}

/// Makes `task` for a client of this kernel, whose children `host` starts; returns what [`remote_grant`] does.
///
/// # Errors
/// A sentence that says what is wrong with the grant.
#[cfg(feature = "capabilities")]
#[wasm_bindgen]
pub fn remote_grant_task(
    client: u32,
    terms: Vec<String>,
    host: devices::web::task::JsTasks,
) -> Result<JsRemoteTree, JsValue> {
    let grant = parse("task", terms)?;
    let page = host.clone();
    let root = devices::web::task::tasks(&grant, host)?;
    let end: Rc<dyn Fn()> = Rc::new(move || page.end());
    exported(client, root, Kind::Whole, Some(end))
}

/// Puts a gate in front of a capability and has it mounted, unless the agent has been ended while it was made.
fn install(
    agent: &str,
    grant: Grant,
    kind: Kind,
    root: NodeRef,
    rights: Rights,
    audit: Option<TellAudit>,
) -> Result<String, JsValue> {
    not_ended()?;
    let clock = machine(|machine| Ok(machine.clock.clone()))?;
    let watch = audit.map(|audit| {
        let audit = observer(agent, &grant, audit, clock.clone());
        if let Kind::Here(capability) = &kind {
            capability.observe_calls(audit.clone());
        }
        Watch {
            observer: audit as Arc<dyn Observer>,
            clock,
            account: account(),
        }
    });
    let (gate, root) = Gate::new(root, watch);
    mount_node(root, &grant.at, rights, grant.device)?;
    machine(|machine| {
        let at = grant.at.clone();
        machine.places.take(&grant);
        machine.held.push(Held { grant, gate, kind });
        Ok(at)
    })
}

/// Who is told what an agent does with what it was granted: `audit(line)`.
fn observer(
    agent: &str,
    grant: &Grant,
    TellAudit(audit): TellAudit,
    clock: Arc<dyn Clock>,
) -> Arc<Audit> {
    let sink = Arc::new(move |line: &str| {
        // What the receiver throws is its own affair.
        let _ = audit.call1(&JsValue::NULL, &line.into());
    });
    let audit = Audit::new(agent, grant.device, &grant.at, clock, sink);
    Arc::new(audit)
}

/// Has something that was granted mounted, by [`mount_all`](crate::control::mounts::mount_all).
fn mount_node(root: NodeRef, at: &str, rights: Rights, device: DeviceKind) -> Result<(), JsValue> {
    machine(|machine| {
        machine.mounts.push(ToMount {
            at: at.to_owned(),
            device: None,
            root,
            rights,
            granted: Some(device.name()),
        });
        Ok(())
    })
}

/// Takes a capability, or a mount that is revocable, away, for good; whether there was one at this path.
#[wasm_bindgen]
pub fn revoke(at: &str) -> bool {
    let plain = |path: &str| path.trim_end_matches('/').to_owned();
    let at = plain(at);
    let known = with_machine(|machine| {
        let held = machine.held.iter().cloned();
        let held = held.map(|held| (held.grant.at, held.gate, held.kind));
        let mounts = machine.gates.clone().into_iter();
        let mounts = mounts.map(|(path, gate)| (path, gate, Kind::Whole));
        held.chain(mounts).collect::<Vec<_>>()
    });
    let mut found = false;
    for (path, gate, kind) in known.unwrap_or_default() {
        if plain(&path) != at || gate.is_revoked() {
            continue;
        }
        found = true;
        gate.revoke();
        kind.end();
    }
    found
}
