//! From a path to a place.
//!
//! The walker is a loop over components that owns its state, so that it can stop at a device which
//! does not answer at once and go on when it has: nothing is copied or boxed unless that happens.

use std::borrow::Cow;

use super::Namespace;
use super::table::{Found, Mount, Place};
use crate::maybe_send::boxed;
use crate::{BoxedFuture, Errno, FileKind, Name, NodeRef, Op, PATH_MAX, Rights, SYMLINK_MAX};

/// What a path leads to.
pub struct Resolved {
    /// What is there; `None` when only the last name is missing.
    pub place: Option<Place>,
    /// The path ends in a slash or a dot, so only a directory will do.
    pub must_be_directory: bool,
    /// The directory and the name that led there; `None` when the path is the start itself, or when
    /// nobody asked. In a box, so that a call which doesn't ask hands on little.
    pub(super) parent: Option<Box<Parent>>,
}

/// The last step of a walk.
pub(super) struct Parent {
    pub(super) place: Place,
    pub(super) name: String,
    /// The member of a union that has the name.
    pub(super) member: usize,
    /// Something is mounted on the name.
    pub(super) mounted: bool,
}

impl Parent {
    /// The directory that has the name: node and mount.
    pub(super) fn holder(&self) -> (NodeRef, std::sync::Arc<Mount>) {
        let member = self.place.member(self.member);
        (member.node, member.mount)
    }
}

impl Namespace {
    /// Walks from `base` along `path`.
    ///
    /// With `follow`, a symbolic link at the end is followed too; others always are. A link whose
    /// target is missing resolves to the missing target.
    ///
    /// # Errors
    /// - [`Errno::Noent`]: an empty path, or a missing name that is not the last
    /// - [`Errno::Notdir`]: something on the way, or before a final slash, is not a directory
    /// - [`Errno::Loop`]: more than [`SYMLINK_MAX`] symbolic links
    /// - [`Errno::Nametoolong`]: a name or path over its limit
    /// - [`Errno::Notcapable`]: the path is absolute or leaves `base`
    pub fn resolve(&self, base: &Place, path: &str, follow: bool) -> Op<Resolved> {
        self.walk(base, path, follow, false)
    }

    /// [`Namespace::resolve`], which notes the directory of the last name if `keep_parent`: that costs
    /// an allocation, and only who changes names needs it.
    pub(super) fn walk(
        &self,
        base: &Place,
        path: &str,
        follow: bool,
        keep_parent: bool,
    ) -> Op<Resolved> {
        if path.is_empty() {
            return Op::err(Errno::Noent);
        }
        if path.len() > PATH_MAX {
            return Op::err(Errno::Nametoolong);
        }
        if path.starts_with('/') {
            return Op::err(Errno::Notcapable);
        }
        let mut walker = Walker {
            namespace: Cow::Borrowed(self),
            base: Cow::Borrowed(base),
            visited: Vec::new(),
            path: Cow::Borrowed(path),
            at: 0,
            links: 0,
            follow,
            keep_parent,
        };
        match walker.go(None) {
            Err(errno) => Op::err(errno),
            Ok(Step::Done(resolved)) => Op::ok(resolved),
            Ok(Step::Wait(mut question)) => {
                let mut walker = walker.into_owned();
                Op::later(async move {
                    loop {
                        let answer = question.await;
                        match walker.go(Some(answer))? {
                            Step::Done(resolved) => return Ok(resolved),
                            Step::Wait(next) => question = next,
                        }
                    }
                })
            }
        }
    }
}

struct Walker<'a> {
    namespace: Cow<'a, Namespace>,
    base: Cow<'a, Place>,
    /// Directories entered below `base`, for `..`.
    visited: Vec<Place>,
    path: Cow<'a, str>,
    /// Bytes of `path` that lie behind.
    at: usize,
    links: usize,
    follow: bool,
    keep_parent: bool,
}

enum Step {
    Done(Resolved),
    Wait(BoxedFuture<Result<Answer, Errno>>),
}

/// What the walker asked a device for.
enum Answer {
    /// A name, at the given range of the path.
    Name(Result<Found, Errno>, Component),
    /// The target of a symbolic link.
    Target(String),
}

/// A name in the path.
#[derive(Clone, Copy)]
struct Component {
    start: usize,
    end: usize,
    /// No name follows.
    last: bool,
    /// A slash follows.
    slash: bool,
}

impl Walker<'_> {
    fn into_owned(self) -> Walker<'static> {
        Walker {
            namespace: Cow::Owned(self.namespace.into_owned()),
            base: Cow::Owned(self.base.into_owned()),
            visited: self.visited,
            path: Cow::Owned(self.path.into_owned()),
            at: self.at,
            links: self.links,
            follow: self.follow,
            keep_parent: self.keep_parent,
        }
    }

    fn current(&self) -> &Place {
        self.visited.last().unwrap_or(&self.base)
    }

    fn go(&mut self, mut answer: Option<Result<Answer, Errno>>) -> Result<Step, Errno> {
        loop {
            let (found, component) = match answer.take() {
                Some(answer) => match answer? {
                    Answer::Name(found, component) => (found, component),
                    Answer::Target(target) => {
                        self.expand(&target)?;
                        continue;
                    }
                },
                None => {
                    let Some(component) = self.next_component()? else {
                        return Ok(Step::Done(self.arrived_at_directory()));
                    };
                    let name = Name::new(&self.path[component.start..component.end])?;
                    let rest = &self.path[component.end..];
                    match self.namespace.table.walk(self.current(), name, rest) {
                        Op::Ready(found) => (found, component),
                        Op::Later(future) => {
                            return Ok(Step::Wait(boxed(async move {
                                Ok(Answer::Name(future.await, component))
                            })));
                        }
                    }
                }
            };
            match self.take_name(found, component)? {
                Next::Go => {}
                Next::Done(resolved) => return Ok(Step::Done(resolved)),
                Next::Ask(Op::Ready(target)) => answer = Some(target),
                Next::Ask(Op::Later(future)) => return Ok(Step::Wait(future)),
            }
        }
    }

    /// Takes `.`, `..` and slashes, and returns the next name.
    #[inline(always)]
    fn next_component(&mut self) -> Result<Option<Component>, Errno> {
        loop {
            // By bytes: all that is looked for is ASCII, and names are a few bytes long.
            let path = self.path.as_bytes();
            let behind = |from: usize, slashes: bool| {
                let passed = path[from..]
                    .iter()
                    .take_while(|byte| (**byte == b'/') == slashes);
                from + passed.count()
            };
            let start = behind(self.at, true);
            if start == path.len() {
                return Ok(None);
            }
            let end = behind(start, false);
            let slash = end < path.len();
            let last = !slash || behind(end, true) == path.len();
            self.at = end;
            match &path[start..end] {
                b"." => self.enter_current()?,
                b".." => {
                    self.enter_current()?;
                    if self.visited.pop().is_none() {
                        return Err(Errno::Notcapable);
                    }
                }
                _ => {
                    return Ok(Some(Component {
                        start,
                        end,
                        last,
                        slash,
                    }));
                }
            }
        }
    }

    fn enter_current(&self) -> Result<(), Errno> {
        match self.current().has_names() {
            true => Ok(()),
            false => Err(Errno::Notdir),
        }
    }

    #[inline(always)]
    fn take_name(
        &mut self,
        found: Result<Found, Errno>,
        component: Component,
    ) -> Result<Next, Errno> {
        let found = match found {
            Ok(found) => found,
            Err(Errno::Noent) if component.last => {
                return Ok(Next::Done(Resolved {
                    place: None,
                    must_be_directory: component.slash,
                    parent: self.parent_of(component, 0, false),
                }));
            }
            Err(errno) => return Err(errno),
        };
        let must_be_directory = !component.last || component.slash;
        if found.kind() == FileKind::SymbolicLink && (must_be_directory || self.follow) {
            self.links += 1;
            if self.links > SYMLINK_MAX {
                return Err(Errno::Loop);
            }
            found.place.mount().demand(Rights::READ)?;
            return Ok(Next::Ask(
                found.place.node().read_link().map(Answer::Target),
            ));
        }
        if must_be_directory && !found.place.has_names() {
            return Err(Errno::Notdir);
        }
        if component.last {
            return Ok(Next::Done(Resolved {
                parent: self.parent_of(component, found.member, found.mounted),
                place: Some(found.place),
                must_be_directory: component.slash,
            }));
        }
        self.visited.push(found.place);
        Ok(Next::Go)
    }

    #[inline]
    fn parent_of(&self, component: Component, member: usize, mounted: bool) -> Option<Box<Parent>> {
        match self.keep_parent {
            true => Some(self.kept_parent(component, member, mounted)),
            false => None,
        }
    }

    #[cold]
    fn kept_parent(&self, component: Component, member: usize, mounted: bool) -> Box<Parent> {
        Box::new(Parent {
            place: self.current().clone(),
            name: self.path[component.start..component.end].to_owned(),
            member,
            mounted,
        })
    }

    /// Puts the target of a link in the place of its name.
    fn expand(&mut self, target: &str) -> Result<(), Errno> {
        if target.is_empty() {
            return Err(Errno::Noent);
        }
        if target.starts_with('/') {
            if self.base.origin() != self.namespace.root().origin() {
                return Err(Errno::Notcapable);
            }
            self.visited.clear();
        }
        let rest = &self.path[self.at..];
        if target.len() + rest.len() > PATH_MAX {
            return Err(Errno::Nametoolong);
        }
        self.path = Cow::Owned(format!("{target}{rest}"));
        self.at = 0;
        Ok(())
    }

    /// The path ended in `.`, `..` or slashes alone.
    fn arrived_at_directory(&self) -> Resolved {
        Resolved {
            place: Some(self.current().clone()),
            must_be_directory: true,
            parent: None,
        }
    }
}

enum Next {
    Go,
    Ask(Op<Answer>),
    Done(Resolved),
}
