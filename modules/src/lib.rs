//! What hosts must know of a module before they compile it, and what they write into it.
//!
//! A module is *read*, never run or compiled: which WASI functions it imports and of which type, what it
//! exports, which memories it has. From that follows one [verdict](Refusal) for every host, with the same code and the same
//! words natively, in Node and in browsers. The table is in `docs/modules.md`.
//!
//! - [`Reader`] asks for the parts of a file that it must see, one after the other, so a page can answer it while the
//!   rest of the file still arrives; [`read`] is the same over a whole file.
//! - [`Facts`] is what a module is, where it can run; [`Facts::edits`] what must be written into it for a host that
//!   limits its memory, or that can't serve calls from a start function.
#![cfg_attr(
    feature = "translate",
    doc = "- [`translate`] turns the older exception instructions into the present ones."
)]
//!
//! What only validation can tell is the engine's to say: this crate doesn't look at code.

#![forbid(unsafe_code)]

mod edit;
mod facts;
mod imports;
mod reader;
mod refusal;
mod shown;
#[cfg(feature = "translate")]
mod translate;
mod weight;

pub use edit::Edit;
pub use facts::{Facts, Unanswered};
pub use imports::{Answer, answer, is_wasi, type_answer};
pub use reader::{Reader, held, read, whole};
pub use refusal::{BadMemory, Refusal};
pub use shown::shown;
#[cfg(feature = "translate")]
pub use translate::{Error as TranslateError, TRANSLATION, translate};
