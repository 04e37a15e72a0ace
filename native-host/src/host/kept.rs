//! What a host keeps from its agents: what each of them keeps on this machine is no other's.
//!
//! A folder is held against all of it when it is granted; and what a later agent keeps is held against the folders that were granted before. Both
//! are told by identity, as [`reserved`](crate::reserved) does. Of an agent that has ended, its state stays on disk, and known for as long as the
//! folder is there.

use std::collections::HashMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use capfs::Rights;

use super::AgentId;
use crate::grants::Grant;
use crate::manifest::Want;
use crate::reserved::{Danger, FileId, Granted, OwnPaths, Reserved};

/// What the agents of a host keep, and what they were granted.
pub(super) struct Keeping {
    /// What the host reserves for itself.
    own: Reserved,
    all: Mutex<All>,
}

#[derive(Default)]
struct All {
    running: HashMap<AgentId, Running>,
    /// State folders, of agents that have ended as well.
    states: HashMap<FileId, State>,
}

struct Running {
    /// Manifests and secrets.
    files: Reserved,
    folders: Vec<Granted>,
}

struct State {
    path: PathBuf,
    reserved: Reserved,
    /// An agent has it, or had.
    begun: bool,
}

/// An agent among those of a host, from before it is granted anything until it has ended.
pub(super) struct Member {
    keeping: Arc<Keeping>,
    id: AgentId,
    state: Option<FileId>,
}

impl Keeping {
    /// No agent yet; none may have these files and folders.
    pub(super) fn new(own: &[PathBuf]) -> Keeping {
        let mut reserved = Reserved::default();
        for path in own {
            let hint = "grant a folder that it is not in";
            let what = "what the host keeps for itself";
            // State folders may be in it.
            reserved.add_around_own(what, path, Danger::Read, hint);
        }
        Keeping {
            own: reserved,
            all: Mutex::default(),
        }
    }

    fn all(&self) -> MutexGuard<'_, All> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds an agent that keeps this, which is there already, and is to be granted that. Answers what it may not reach: what others keep.
    ///
    /// # Errors
    /// What it keeps is within reach of another, by what that was granted: a message.
    pub(super) fn add(
        self: &Arc<Self>,
        id: &AgentId,
        state: Option<&Path>,
        manifest: Option<&Path>,
        wants: &[Want],
    ) -> Result<(Member, Reserved), String> {
        let paths = OwnPaths {
            manifest,
            ..OwnPaths::default()
        };
        let files = paths.reserved(wants).for_others();
        let folders = wants.iter().filter_map(|want| match &want.grant {
            Grant::Dir(grant) => Granted::at(&grant.host, grant.rights != Rights::RO),
            _ => None,
        });
        let running = Running {
            files: files.clone(),
            folders: folders.collect(),
        };
        let state = state.and_then(|path| Some((identity(path)?, path)));
        let mut member = Member {
            keeping: self.clone(),
            id: id.clone(),
            state: None,
        };
        let mut all = self.all();
        all.states
            .retain(|id, state| identity(&state.path) == Some(*id));
        let mut kept = files;
        if let Some((id, path)) = state {
            let paths = OwnPaths {
                state: Some(path),
                ..OwnPaths::default()
            };
            let reserved = paths.reserved(&[]).for_others();
            kept.add_all(&reserved);
            let begun = all.states.get(&id).is_some_and(|known| known.begun);
            let state = State {
                path: path.to_owned(),
                reserved,
                begun,
            };
            all.states.insert(id, state);
            member.state = Some(id);
        }
        let mut others = self.own.clone();
        for (_, state) in all
            .states
            .iter()
            .filter(|(id, _)| Some(**id) != member.state)
        {
            others.add_all(&state.reserved);
        }
        let mut reached = None;
        for (other, running) in &all.running {
            others.add_all(&running.files);
            let mut folders = running.folders.iter();
            let what = folders.find_map(|folder| kept.within_reach(folder));
            reached = reached.or_else(|| Some((what?, other.clone())));
        }
        all.running.insert(id.clone(), running);
        drop(all);
        match reached {
            Some((what, other)) => Err(format!(
                "{what}, is within reach of the agent `{other}`, by a folder that it was granted"
            )),
            None => Ok((member, others)),
        }
    }
}

impl Member {
    /// It begins: its state folder is one from now on.
    pub(super) fn begin(&self) {
        if let Some(state) = &self.state
            && let Some(state) = self.keeping.all().states.get_mut(state)
        {
            state.begun = true;
        }
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        let mut all = self.keeping.all();
        all.running.remove(&self.id);
        if let Some(state) = &self.state
            && all.states.get(state).is_some_and(|state| !state.begun)
        {
            all.states.remove(state);
        }
    }
}

/// Which folder it is; `None` where there is none.
fn identity(path: &Path) -> Option<FileId> {
    let folder = fs::metadata(path).ok()?;
    Some(FileId::new(folder.dev(), folder.ino()))
}
