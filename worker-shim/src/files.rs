//! What the page does with a namespace: whole files, listings and stat, as one request each.

use std::future::poll_fn;

use capfs::account::{Charge, Holding};
use capfs::{Errno, FileKind, Namespace, OpenAt, OpenHow, Place, Stat, WriteAt};

use crate::machine::account;

/// Entries asked of a directory at a time.
const LIST_BATCH: usize = 1024;

/// Bytes in the largest file that is handed to the page in one piece: 512 MiB, as the kernel's own memory
/// must hold it a second time.
pub const READ_MAX: u64 = 512 << 20;

/// Bytes that are read of what is no regular file, unless told: 16 MiB. It may give more without end.
pub const DEVICE_READ_MAX: u64 = 16 << 20;

/// Bytes asked of a file at a time whose size isn't known.
const READ_STEP: usize = 64 << 10;

/// What every module of WebAssembly begins with.
const MODULE: &[u8] = b"\0asm";

/// One name in a listing.
pub struct Listed {
    pub name: String,
    pub kind: FileKind,
}

/// Reads a whole file of up to `max` bytes: unless told, and at most, [`READ_MAX`]; of what is no regular file
/// [`DEVICE_READ_MAX`] unless told.
///
/// # Errors
/// - [`Errno::Fbig`]: longer than that. Nothing is read of what says so itself
/// - [`Errno::Nomem`]: longer than there is memory for
pub async fn read(namespace: Namespace, path: String, max: Option<u64>) -> Result<Vec<u8>, Errno> {
    read_counted(namespace, path, max, None).await
}

/// Reads a program of up to [`READ_MAX`] bytes that an agent has a task run. It may be a device's, which gives what it likes for as long as it
/// likes: so it is charged to the agent while it is read, and of what doesn't begin as a module does the beginning is all
/// that is read.
///
/// # Errors
/// - [`Errno::Fbig`], [`Errno::Nomem`]: as [`read`]; more than the agent may hold
pub async fn read_program(namespace: Namespace, path: String) -> Result<Vec<u8>, Errno> {
    let charge = account().charge(Holding::Programs, 0)?;
    read_counted(namespace, path, Some(READ_MAX), Some(charge)).await
}

async fn read_counted(
    namespace: Namespace,
    path: String,
    max: Option<u64>,
    mut program: Option<Charge>,
) -> Result<Vec<u8>, Errno> {
    let how = OpenAt {
        how: OpenHow {
            read: true,
            ..OpenHow::default()
        },
        follow: true,
        ..OpenAt::default()
    };
    let (_, mut file) = namespace.open(&namespace.root(), &path, how).wait().await?;
    let Stat { size, qid, .. } = file.stat().wait().await?;
    let default = match qid.kind {
        FileKind::RegularFile => READ_MAX,
        _ => DEVICE_READ_MAX,
    };
    let max = max.unwrap_or(default).min(READ_MAX);
    if size > max {
        return Err(Errno::Fbig);
    }
    let mut bytes = Vec::new();
    let mut step = match size as usize {
        0 => READ_STEP,
        // One more than there are, to see the end.
        size => size + 1,
    };
    let mut filled = 0;
    // What has no size, or grows meanwhile, is read until its end.
    loop {
        if filled == bytes.len() {
            let room = (max as usize + 1 - filled).min(step);
            if let Some(charge) = &mut program {
                charge.resize((filled + room) as u64)?;
            }
            bytes.try_reserve(room).map_err(|_| Errno::Nomem)?;
            bytes.resize(filled + room, 0);
            step = READ_STEP;
        }
        let count = poll_fn(|context| {
            file.poll_read(context, filled as u64, &mut bytes[filled..].as_mut())
        })
        .await?;
        filled += count;
        let begun = &bytes[..filled.min(MODULE.len())];
        if program.is_some() && !MODULE.starts_with(begun) {
            // Who reads modules says what it is instead.
            bytes.truncate(filled);
            return Ok(bytes);
        }
        if count == 0 {
            bytes.truncate(filled);
            return Ok(bytes);
        }
        if filled as u64 > max {
            return Err(Errno::Fbig);
        }
    }
}

/// Writes a whole file, replacing what was there; makes its parent directories.
///
/// # Errors
/// As the devices on the way.
pub async fn write(namespace: Namespace, path: String, bytes: Vec<u8>) -> Result<(), Errno> {
    if let Some((parent, _)) = path.rsplit_once('/') {
        make_directory(namespace.clone(), parent.to_owned()).await?;
    }
    let how = OpenAt {
        how: OpenHow {
            write: true,
            truncate: true,
            ..OpenHow::default()
        },
        follow: true,
        create: true,
        ..OpenAt::default()
    };
    let (_, mut file) = namespace.open(&namespace.root(), &path, how).wait().await?;
    let (mut done, mut at) = (0, 0);
    while done < bytes.len() {
        // What is left is offered each time, as a guest does: a tree elsewhere is handed more than it may write.
        let written = poll_fn(|context| {
            let mut rest = &bytes[done..];
            file.poll_write(context, WriteAt::Offset(at), &mut rest)
        });
        let written = written.await?;
        if written.bytes == 0 {
            return Err(Errno::Nospc);
        }
        (done, at) = (done.saturating_add(written.bytes), written.end);
    }
    // A command without a newline behind it is done now, not when the file is closed, where nobody would learn of
    // its failure.
    match file.seekable() {
        true => Ok(()),
        false => file.sync(false).wait().await,
    }
}

/// Makes a directory and its parents, as far as they are missing.
///
/// # Errors
/// - [`Errno::Notdir`]: something else is there
pub async fn make_directory(namespace: Namespace, path: String) -> Result<(), Errno> {
    let root = namespace.root();
    let mut upto = String::new();
    for name in path.split('/').filter(|name| !matches!(*name, "" | ".")) {
        if !upto.is_empty() {
            upto.push('/');
        }
        upto.push_str(name);
        match namespace.stat(&root, &upto, true).wait().await {
            Ok((_, stat)) if stat.qid.kind == FileKind::Directory => {}
            Ok(_) => return Err(Errno::Notdir),
            Err(Errno::Noent) => namespace.make_directory(&root, &upto).wait().await?,
            Err(errno) => return Err(errno),
        }
    }
    Ok(())
}

/// Lists a directory.
///
/// # Errors
/// - [`Errno::Notdir`]: not a directory
pub async fn list(namespace: Namespace, path: String) -> Result<Vec<Listed>, Errno> {
    let (_, listed) = entered(&namespace, &namespace.root(), &path, true).await?;
    Ok(listed)
}

/// Where a directory is, and what is in it.
async fn entered(
    namespace: &Namespace,
    base: &Place,
    path: &str,
    follow: bool,
) -> Result<(Place, Vec<Listed>), Errno> {
    let how = OpenAt {
        how: OpenHow {
            read: true,
            ..OpenHow::default()
        },
        follow,
        directory: true,
        ..OpenAt::default()
    };
    let (place, mut file) = namespace.open(base, path, how).wait().await?;
    let mut listed = Vec::new();
    let mut cookie = 0;
    loop {
        let batch = file
            .entries()
            .ok_or(Errno::Notdir)?
            .list(cookie, LIST_BATCH);
        let batch = batch.wait().await?;
        let Some(last) = batch.last() else {
            return Ok((place, listed));
        };
        cookie = last.cookie;
        listed.extend(batch.into_iter().map(|entry| Listed {
            name: entry.name,
            kind: entry.qid.kind,
        }));
    }
}

/// What is known about a file; a symbolic link is followed.
///
/// # Errors
/// As the devices on the way.
pub async fn stat(namespace: Namespace, path: String) -> Result<Stat, Errno> {
    let (_, stat) = namespace
        .stat(&namespace.root(), &path, true)
        .wait()
        .await?;
    Ok(stat)
}

/// Removes a file, or a directory with everything in it.
///
/// # Errors
/// - [`Errno::Busy`]: the root; what something is mounted on, or on something in it. Nothing is removed then
/// - [`Errno::Inval`]: a path that ends in `.` or `..`
/// - [`Errno::Notdir`]: a path that ends in a slash, of what is no directory: a symbolic link, too, as it would be what that
///   points to that is removed
///
/// and as the devices on the way.
pub async fn remove(namespace: Namespace, path: String) -> Result<(), Errno> {
    // What can't be taken away in the end is refused while everything in it is there still.
    let mut names = path.split('/').filter(|name| !name.is_empty());
    if names.clone().all(|name| name == ".") {
        return Err(Errno::Busy);
    }
    if matches!(names.next_back(), Some("." | "..")) {
        return Err(Errno::Inval);
    }
    let root = namespace.root();
    let name = path.trim_end_matches('/').to_owned();
    let place = namespace.removable(&root, &name).wait().await?;
    if place.kind() != FileKind::Directory && name.len() < path.len() {
        return Err(Errno::Notdir);
    }
    if namespace.has_mounts_beside(&place) {
        demand_removable(&namespace, &root, &name).await?;
    }
    // A stack instead of recursion: a tree may be deeper than the kernel's stack. And names in directories instead of
    // paths: those of what lies deep may be longer than a path can be.
    let mut pending = vec![(root, name, false)];
    while let Some((base, name, emptied)) = pending.pop() {
        if emptied {
            namespace.remove_directory(&base, &name).wait().await?;
            continue;
        }
        let (_, stat) = namespace.stat(&base, &name, false).wait().await?;
        if stat.qid.kind != FileKind::Directory {
            namespace.unlink(&base, &name).wait().await?;
            continue;
        }
        let (inside, listed) = entered(&namespace, &base, &name, false).await?;
        pending.push((base, name, true));
        let children = listed
            .into_iter()
            .map(|entry| (inside.clone(), entry.name, false));
        pending.extend(children);
    }
    Ok(())
}

/// That nothing in a tree is in the way of its removal, as far as the namespace knows.
async fn demand_removable(namespace: &Namespace, base: &Place, name: &str) -> Result<(), Errno> {
    let mut pending = vec![(base.clone(), name.to_owned())];
    while let Some((base, name)) = pending.pop() {
        let place = namespace.removable(&base, &name).wait().await?;
        if place.kind() == FileKind::Directory {
            let (inside, listed) = entered(namespace, &base, &name, false).await?;
            pending.extend(listed.into_iter().map(|entry| (inside.clone(), entry.name)));
        }
    }
    Ok(())
}
