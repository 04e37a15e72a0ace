//! Opening a volume: the state that its index describes, checked before anything trusts it.

use std::sync::Arc;

use capfs::clock::Clock;
use capfs::{Errno, FileKind, Qid};

use crate::block_file::BlockFiles;
use crate::cache::Cache;
use crate::checksum::Sums;
use crate::error::StorageError;
use crate::extents::Extent;
use crate::inode::{Body, Inode, Names, ROOT};
use crate::journal::{Found, Journal};
use crate::limits::{BLOCK, Geometry};
use crate::numbers::NumberMap;
use crate::record::{Record, Records};
use crate::space::Space;
use crate::state::State;

/// Where a repair puts what has lost its name.
const LOST: &str = "lost+found";

/// Inodes while the index is read.
pub(crate) type Nodes = NumberMap<Inode>;

impl State {
    /// Opens a volume, making it if it was never used. With `repair`, what can be read of a damaged one
    /// is kept, and the index written anew.
    pub fn open(
        files: BlockFiles,
        clock: Arc<dyn Clock>,
        geometry: Geometry,
        limit: u64,
        repair: bool,
        decided: Option<u64>,
    ) -> Result<State, StorageError> {
        let size = files.data.size()?;
        let total = u32::try_from(size / BLOCK as u64).map_err(|_| Errno::Fbig)?;
        let (mut found, mut image) = Journal::open(
            files.index,
            geometry,
            (size == 0, repair),
            || Image::new(total),
            Image::replay,
            Image::salvage,
        )?;
        if let Found::Index(journal) = &mut found {
            decide(journal, &mut image, decided)?;
        }
        let Image {
            mut nodes,
            next,
            sums,
            ..
        } = image;
        let (journal, new) = match found {
            Found::Nothing(journal) => (journal, true),
            Found::Index(journal) => (journal, false),
        };
        if new || (repair && !nodes.contains_key(&ROOT)) {
            let root = Inode::new(Body::Directory(Names::below(ROOT)), clock.realtime());
            nodes.insert(ROOT, root);
        }
        let mut space = Space::default();
        space.grow(total);
        let mut finder = Finder {
            repair,
            repaired: false,
            next,
        };
        finder.link(&mut nodes, clock.realtime())?;
        finder.claim(&mut nodes, &mut space)?;
        let fresh = new || finder.repaired || journal.is_unwritten() || journal.is_old();
        let names = nodes.values().map(|inode| inode.names as usize).sum();
        let used = nodes.iter().map(|(number, inode)| blocks(*number, inode));
        let used = used.sum();
        let text = nodes.values().map(text).sum();
        let mut state = State {
            nodes,
            next: finder.next,
            names,
            text,
            holds: 0,
            cache: Cache::new(&geometry),
            space,
            sums,
            journal: {
                journal.tidy();
                journal
            },
            data: files.data,
            clock,
            geometry,
            limit,
            used,
            pending: Vec::new(),
            changed: Vec::new(),
            targets: 0,
            waiting_since: None,
            unflushed: false,
            failed: None,
            transfer: Vec::new(),
            commits: 0,
            #[cfg(feature = "durable")]
            undo: None,
        };
        if fresh {
            state.rewrite_index()?;
        }
        Ok(state)
    }
}

/// Without checkpoints nothing was prepared.
#[cfg(not(feature = "durable"))]
const fn decide(
    _journal: &mut Journal,
    _image: &mut Image,
    _last: Option<u64>,
) -> Result<(), StorageError> {
    Ok(())
}

/// Does what was decided about a transaction that was prepared when the volume stopped: those up to `last` count.
#[cfg(feature = "durable")]
fn decide(journal: &mut Journal, image: &mut Image, last: Option<u64>) -> Result<(), StorageError> {
    let Some(payload) = journal.undecided() else {
        return Ok(());
    };
    let damaged = |what| StorageError::Damaged {
        what,
        file: 0,
        offset: 0,
    };
    let Some(Ok(Record::Decided { id })) = Records(&payload).next() else {
        return Err(damaged("what was prepared has no id"));
    };
    let counts = id <= last.ok_or(StorageError::Undecided { id })?;
    if counts {
        image.replay(&payload).map_err(damaged)?;
    }
    journal.decide(counts)?;
    Ok(())
}

/// Blocks that a file counts as.
fn blocks(number: u64, inode: &Inode) -> u64 {
    match &inode.body {
        Body::File(content) => u64::from(content.extents.blocks()),
        _ => inode.own_blocks(number),
    }
}

/// Bytes of the names in a directory, or of a link's target.
fn text(inode: &Inode) -> u64 {
    match &inode.body {
        Body::Directory(names) => names.iter().map(|(name, _)| name.len() as u64).sum(),
        _ => inode.target_bytes(),
    }
}

/// What an index says, as far as it has been read.
pub(crate) struct Image {
    pub nodes: Nodes,
    /// The number of the next file.
    pub next: u64,
    pub sums: Sums,
    /// Blocks of the data file.
    total: u32,
}

impl Image {
    pub fn new(total: u32) -> Self {
        Image {
            nodes: Nodes::default(),
            next: ROOT + 1,
            sums: Sums::default(),
            total,
        }
    }

    /// Does what the records of a frame say.
    pub fn replay(&mut self, payload: &[u8]) -> Result<(), &'static str> {
        for record in Records(payload) {
            self.take(record.map_err(|_| "a record can't be read")?)?;
        }
        Ok(())
    }

    /// Does what those records of a frame say that make sense, up to one that can't be read.
    pub fn salvage(&mut self, payload: &[u8]) {
        for record in Records(payload).map_while(Result::ok) {
            let _ = self.take(record);
        }
    }

    fn take(&mut self, record: Record<'_>) -> Result<(), &'static str> {
        if let Record::Map { start, sums, .. } = record {
            self.sums.take(start, sums, self.total);
        }
        apply(&mut self.nodes, &mut self.next, record)
    }
}

/// Checks what an index says, as opening the volume does: every name stands for something, every block is one file's.
///
/// # Errors
/// [`StorageError::Damaged`]
pub(crate) fn sound(image: &mut Image, total: u32) -> Result<(), StorageError> {
    let mut space = Space::default();
    space.grow(total);
    let mut finder = Finder {
        repair: false,
        repaired: false,
        next: image.next,
    };
    finder.link(&mut image.nodes, 0)?;
    finder.claim(&mut image.nodes, &mut space)
}

/// Does what a record says. A file that was made and removed before one commit has left records that mean
/// nothing, of names and blocks of an unknown number: they are passed over.
fn apply(nodes: &mut Nodes, next: &mut u64, record: Record<'_>) -> Result<(), &'static str> {
    match record {
        Record::Node { number, attributes } => {
            *next = (*next).max(number.checked_add(1).ok_or("a number is too large")?);
            match nodes.get_mut(&number) {
                Some(inode) if inode.kind() != attributes.kind => {
                    return Err("a file changes its kind");
                }
                Some(inode) => inode.set_attributes(&attributes),
                None if attributes.kind == FileKind::SymbolicLink
                    && attributes.target.is_none() => {}
                None => {
                    nodes.insert(number, Inode::from_attributes(&attributes));
                }
            }
        }
        Record::Name {
            directory,
            name,
            number,
        } => {
            capfs::Name::new(name).map_err(|_| "a name can't be one")?;
            if let Some(names) = names_of(nodes, directory)? {
                // The kind is found when every record is known.
                let kind = FileKind::Unknown;
                names.put(name, Qid::new(number, kind));
            }
        }
        Record::Unname { directory, name } => {
            if let Some(names) = names_of(nodes, directory)? {
                names.remove(name);
            }
        }
        Record::Map {
            number,
            block,
            start,
            length,
            written,
            sums: _,
        } => {
            let overflows =
                block.checked_add(length).is_none() || start.checked_add(length).is_none();
            if overflows || length == 0 {
                return Err("blocks have no number");
            }
            if let Some(inode) = nodes.get_mut(&number) {
                let extent = Extent {
                    start,
                    length,
                    written,
                };
                let content = inode.content().map_err(|_| "what is no file has blocks")?;
                content.extents.insert(block, extent, |_, _| {});
            }
        }
        Record::Unmap {
            number,
            block,
            length,
        } => {
            if let Some(inode) = nodes.get_mut(&number) {
                let content = inode.content().map_err(|_| "what is no file has blocks")?;
                content.extents.remove(block, length, |_, _| {});
            }
        }
        Record::Gone { number } => {
            // Or a file that is made later could be taken for it, by whoever remembers its number.
            *next = (*next).max(number.checked_add(1).ok_or("a number is too large")?);
            nodes.remove(&number);
        }
        Record::Decided { .. } => {}
    }
    Ok(())
}

fn names_of(nodes: &mut Nodes, directory: u64) -> Result<Option<&mut Names>, &'static str> {
    match nodes.get_mut(&directory) {
        None => Ok(None),
        Some(inode) => match inode.directory_mut() {
            Ok(names) => Ok(Some(names)),
            Err(_) => Err("a name is in what is no directory"),
        },
    }
}

/// Puts the parts together, and finds what does not fit.
struct Finder {
    repair: bool,
    repaired: bool,
    next: u64,
}

impl Finder {
    /// Something is wrong; a repair goes on.
    fn wrong(&mut self, what: &'static str) -> Result<(), StorageError> {
        if !self.repair {
            return Err(StorageError::Damaged {
                what,
                file: 0,
                offset: 0,
            });
        }
        self.repaired = true;
        Ok(())
    }

    /// Counts the names of every file, and ends those without any.
    fn link(&mut self, nodes: &mut Nodes, now: u64) -> Result<(), StorageError> {
        if !nodes.get(&ROOT).is_some_and(Inode::is_directory) {
            self.wrong("there is no root")?;
            let root = Inode::new(Body::Directory(Names::below(ROOT)), now);
            nodes.insert(ROOT, root);
        }
        let kinds: NumberMap<FileKind> = nodes
            .iter()
            .map(|(number, inode)| (*number, inode.kind()))
            .collect();
        let mut links = Vec::new();
        for (directory, inode) in nodes.iter_mut() {
            let Ok(names) = inode.directory_mut() else {
                continue;
            };
            let mut strays = Vec::new();
            for entry in names.entries_mut() {
                match kinds.get(&entry.qid.path) {
                    Some(kind) => entry.qid.kind = *kind,
                    None => strays.push(entry.qid.path),
                }
            }
            if !strays.is_empty() {
                self.wrong("a name stands for nothing")?;
                names.retain(|qid| !strays.contains(&qid.path));
            }
            links.extend(names.iter().map(|(_, qid)| (*directory, qid.path)));
        }
        // From the root on: a directory is in the tree once, and so are the files in it.
        let mut children: NumberMap<Vec<u64>> = NumberMap::default();
        for (directory, number) in links {
            children.entry(directory).or_default().push(number);
        }
        let mut reached = vec![ROOT];
        if let Some(names) = nodes
            .get_mut(&ROOT)
            .and_then(|root| root.directory_mut().ok())
        {
            names.parent = ROOT;
        }
        self.descend(nodes, &mut children, &mut reached)?;
        self.collect(nodes, &mut children, now)
    }

    /// Counts what is named in these directories, and below.
    fn descend(
        &mut self,
        nodes: &mut Nodes,
        children: &mut NumberMap<Vec<u64>>,
        reached: &mut Vec<u64>,
    ) -> Result<(), StorageError> {
        while let Some(directory) = reached.pop() {
            for number in children.remove(&directory).unwrap_or_default() {
                let Some(inode) = nodes.get_mut(&number) else {
                    continue;
                };
                if inode.is_directory() && (inode.names > 0 || number == ROOT) {
                    self.wrong("a directory has two names")?;
                    if let Some(names) = names_of(nodes, directory).ok().flatten() {
                        names.retain(|qid| qid.path != number);
                    }
                    continue;
                }
                inode.names += 1;
                if let Body::Directory(names) = &mut inode.body {
                    names.parent = directory;
                    reached.push(number);
                    if let Some(names) = names_of(nodes, directory).ok().flatten() {
                        names.subdirectories += 1;
                    }
                }
            }
        }
        Ok(())
    }

    /// Ends what has no name: it was removed while it was open. A repair finds names for what holds anything.
    fn collect(
        &mut self,
        nodes: &mut Nodes,
        children: &mut NumberMap<Vec<u64>>,
        now: u64,
    ) -> Result<(), StorageError> {
        let nameless = |nodes: &Nodes| -> Vec<u64> {
            let nameless = nodes
                .iter()
                .filter(|(number, inode)| inode.names == 0 && **number != ROOT);
            nameless.map(|(number, _)| *number).collect()
        };
        let mut lost = nameless(nodes);
        // Directories first: what is in them has a name then.
        lost.sort_by_key(|number| {
            (
                nodes.get(number).is_none_or(|inode| !inode.is_directory()),
                *number,
            )
        });
        for number in lost {
            let keeps = match nodes.get(&number).map(|inode| (inode.names, &inode.body)) {
                Some((0, Body::Directory(names))) => !names.is_empty(),
                Some((0, Body::File(content))) => self.repaired && content.extents.blocks() > 0,
                _ => continue,
            };
            if !keeps {
                nodes.remove(&number);
                continue;
            }
            self.wrong("a directory is not in the tree")?;
            let lost = self.lost_and_found(nodes, now);
            let kind = nodes[&number].kind();
            if let Some(names) = names_of(nodes, lost).ok().flatten() {
                names.put(&number.to_string(), Qid::new(number, kind));
            }
            children.entry(lost).or_default().push(number);
            self.descend(nodes, children, &mut vec![lost])?;
        }
        Ok(())
    }

    /// The directory for what was lost.
    fn lost_and_found(&mut self, nodes: &mut Nodes, now: u64) -> u64 {
        let root = names_of(nodes, ROOT).ok().flatten();
        let there = root.and_then(|names| names.get(LOST));
        if let Some(qid) = there
            && qid.kind == FileKind::Directory
        {
            return qid.path;
        }
        let number = self.next;
        self.next += 1;
        let mut inode = Inode::new(Body::Directory(Names::below(ROOT)), now);
        inode.names = 1;
        nodes.insert(number, inode);
        if let Some(names) = names_of(nodes, ROOT).ok().flatten() {
            // A file that has the name gives way to it under another.
            if there.is_some() {
                names.rename(LOST, &format!("{LOST}.{number}"));
            }
            let kind = FileKind::Directory;
            names.put(LOST, Qid::new(number, kind));
            names.subdirectories += 1;
        }
        number
    }

    /// Takes the blocks of every file out of what is free: each belongs to one.
    fn claim(&mut self, nodes: &mut Nodes, space: &mut Space) -> Result<(), StorageError> {
        for inode in nodes.values_mut() {
            let Body::File(content) = &mut inode.body else {
                continue;
            };
            let mut wrong = Vec::new();
            for (block, extent) in content.extents.iter() {
                if !space.claim(extent.start, extent.length) {
                    wrong.push((block, extent.length));
                }
            }
            for (block, length) in wrong {
                self.wrong("blocks belong to two files, or are not there")?;
                content.extents.remove(block, length, |_, _| {});
            }
        }
        Ok(())
    }
}
