//! What the sample agents that use capabilities share. Nothing in here is needed to use one: the files
//! under `/cap` are files. It holds a conversation open and says by name what went wrong.
#![deny(unsafe_code)]

mod conversation;
pub mod errno;
mod failure;
mod replace;
mod text;
mod time;
mod wait;

pub use conversation::Conversation;
pub use failure::{Failure, Result, Said};
pub use replace::replace;
pub use text::{plain, printable, shortened};
pub use time::{rfc3339, seconds_now};
pub use wait::wait_readable;
