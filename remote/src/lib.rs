//! Trees that are elsewhere: one side has a tree, the other a device that is this tree, and between them go messages.
//!
//! ```text
//!   client                                                server
//!   Connection: tags, fids, who waits     Transport       Session: fids, requests under way
//!   a device whose nodes and open files   ───────────▶    a tree: any node
//!   are fids of it                        ◀───────────
//! ```
//!
//! A tree lives where its device can work: the page's own files, and what needs the page's document, in the page's kernel; what needs an
//! event loop, in the kernel of a device worker. Nothing is cached, so that all who see a tree see the same at all times.
//!
//! The crate is sans-IO and knows no JavaScript, no socket and no executor. Whoever owns a [`Transport`] pushes in what arrives
//! ([`Connection::receive`], [`Session::receive`]) and says when nothing comes any more (`end`); sending is one method, and how much of that waits another. The state of a connection is
//! its own: two share nothing, and one that ends lets go of everything.
//!
//! # The wire
//! Frames, tags, fids and flush have the meaning of 9P (intro(5)), and types the numbers of 9P2000.L where that has the like.
//! - A client chooses tags and fids, the smallest that are free. A tag is free when its answer has come, or, if it was flushed, the answer to
//!   the flush; a fid when its `Clunk` was answered.
//! - Requests arrive in order, answers may come in any. A request may name the fid that an earlier one, not yet answered, makes.
//! - A flush is exact: when it is answered, nothing of the request happens any more, and what it made and nobody was told of is gone. An answer that
//!   crosses it is dropped.
//! - Both sides are made with the same [`Sizes`](wire::Sizes), from which every bound follows. What breaks a bound, is cut short, has a tag that it must not have
//!   or can't be understood ends the connection, by a [`WireError`](wire::WireError) on the side that sees it, and by `EPROTO` for all that waits on
//!   the other; a wrong fid fails the one request with `EBADF`.
//! - An answer is checked when it comes: it has no more than was asked for, names and targets that files can have, cookies that ascend. What a client has
//!   asked for and not looked at is bounded ([`ANSWERS_MAX`](wire::ANSWERS_MAX)); beyond that nothing is asked (`ENOBUFS`).
//! - A request may wait only for what an earlier one makes; a fid that it makes itself stands for nothing yet (`EBADF`): no `newfid` is `fid`.
//! - While answers wait to be taken by the client ([`Transport::waiting`]) no request of it begins; they keep their order. Answers to the requests under way are
//!   bounded by `ANSWERS_MAX` on this side, too (`ENOBUFS`).
//!
//! | | as in 9P2000.L | private |
//! |---|---|---|
//! | frame | `size[4] type[1] tag[2]` | a message has one or several; fids of nodes are let go of along with the next request |
//! | version | | none: both sides are of one build, their sizes agreed |
//! | attach | `fid` | the number of a tree instead of users; a path in it; may be unanswered when it is used |
//! | walk | up to 16 names, as far as they are found | each name gets a fid, so that no node on the way is walked to again; the error that stopped it |
//! | open, create | `lopen`, `lcreate` | the open file gets a fid of its own, and the node keeps its own; whether offsets mean anything |
//! | getattr, setattr | of nodes and of open files | what [`Stat`](capfs::Stat) has; no users, no modes |
//! | read, write | `offset`, `count` | appending; [`WriteAll`](wire::Request::WriteAll), the write of somebody who does not wait |
//! | readdir | `offset` is a cookie | bounded by entries and bytes |
//! | readlink, symlink, link, mkdir, renameat, unlinkat, fsync | the same | |
//! | flush | the same | |
//! | clunk | the same | several fids at once; of an open file it gives up what is under way on it |
//! | errors | `Rlerror` | WASI's numbers, not Linux's |
//! | readiness | | [`Ready`](wire::Request::Ready): answered when the open file can be read or written without waiting. What `poll_oneoff` needs, and flushed when that ends |
//! | allocate | | [`Allocate`](wire::Request::Allocate) (posix_fallocate) |
//! | closing | | [`Finish`](wire::Request::Finish): what closing by its owner's will does before the fid is clunked |
//! | subject | | in front of an answer: what the file stands for, for the audit |
//! | revoke | | [`Revoke`](wire::Request::Revoke) of a tree that was made for the client |
//! | users, modes, xattr, locks, mknod, auth, statfs | not served | |
//!
//! # Parts
//! - [`wire`]: messages and bytes
//! - [`Connection`]: the client's side
//! - [`Session`], [`Trees`]: the server's
//! - [`Transport`]: what carries messages
#![forbid(unsafe_code)]

mod client;
mod server;
#[cfg(test)]
mod tests;
mod transport;
pub mod wire;

pub use client::Connection;
pub use server::{Session, Trees};
pub use transport::{Ended, Transport};
