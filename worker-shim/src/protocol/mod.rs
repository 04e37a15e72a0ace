//! The protocol between JavaScript and the kernel: what crosses beside single numbers, texts and bytes.
//!
//! Each message is declared once, below, as a structure with named fields. Of that are made the structure itself, its reading and writing, with a check of each
//! field's type, and its type in TypeScript, which the build puts into `web/dist/kernel-bindings.d.ts`: what doesn't agree with it doesn't
//! compile. In Rust, a message that has not been read yet has the type that is named behind `as`.
//!
//! System calls don't come by here, and neither do bytes between kernels ([`crate::remote`]).

#![allow(
    dead_code,
    reason = "most messages go one way, and the lint doesn't see that wasm-bindgen takes the declarations"
)]

mod fields;

use fields::{Field, Fields, Reader, joined, length};
use wasm_bindgen::prelude::*;

pub use fields::{Post, Print, RawMode, TellAudit};

/// Puts a declaration into the types of the kernel's bindings.
macro_rules! declaration {
    ($($part:expr),* $(,)?) => {
        const _: () = {
            const PARTS: &[&str] = &[$($part),*];
            const BYTES: [u8; length(PARTS)] = joined(PARTS);
            const TEXT: &str = match str::from_utf8(&BYTES) {
                Ok(text) => text,
                Err(_) => panic!("parts that are text are text together"),
            };
            #[wasm_bindgen(typescript_custom_section)]
            const DECLARATION: &'static str = TEXT;
        };
    };
}

/// What is behind the name of a field: a question mark where it may be left out.
const fn mark(optional: bool) -> &'static str {
    if optional { "?: " } else { ": " }
}

/// What is behind the type of a field.
const fn rest(optional: bool) -> &'static str {
    if optional { " | undefined;\n" } else { ";\n" }
}

/// Declares messages: `field as "name": type`, where `name` is the field's in JavaScript.
macro_rules! messages {
    ($(
        $(#[doc = $doc:literal])*
        struct $name:ident as $js:ident {
            $($(#[doc = $field_doc:literal])* $field:ident as $key:literal: $type:ty,)*
        }
    )*) => {$(
        $(#[doc = $doc])*
        pub struct $name {
            $($(#[doc = $field_doc])* pub $field: $type,)*
        }

        #[wasm_bindgen]
        extern "C" {
            #[doc = concat!("[`", stringify!($name), "`], as JavaScript has it.")]
            #[wasm_bindgen(typescript_type = $name)]
            pub type $js;
        }

        impl Field for $name {
            const TYPE: &'static str = stringify!($name);

            fn read(value: &JsValue, reader: &mut Reader) -> Self {
                $name {
                    $($field: reader.field(value, stringify!($name), $key),)*
                }
            }

            fn write(self) -> JsValue {
                let fields = Fields::new();
                $(self.$field.put(&fields, $key);)*
                fields.into()
            }
        }

        impl $name {
            /// Reads the message.
            ///
            /// # Errors
            /// A sentence that names a field that is not as it must be.
            pub fn of(message: &$js) -> Result<Self, JsValue> {
                let mut reader = Reader::default();
                let read = Field::read(message, &mut reader);
                reader.end(read)
            }

            /// The message for JavaScript.
            pub fn told(self) -> $js {
                self.write().unchecked_into()
            }
        }

        declaration!(
            "\n/**", $($doc, "\n",)* " */\nexport interface ", stringify!($name), " {\n",
            $(
                $("  /**", $field_doc, " */\n",)*
                "  ", $key, mark(<$type as Field>::OPTIONAL), <$type as Field>::TYPE, <$type as Field>::SUFFIX, rest(<$type as Field>::OPTIONAL),
            )*
            "}\n",
        );
    )*};
}

/// Declares a word that is one of several.
macro_rules! words {
    ($(
        $(#[doc = $doc:literal])*
        enum $name:ident as $js:ident { $first:ident = $first_word:literal, $($word:ident = $text:literal,)* }
    )*) => {$(
        $(#[doc = $doc])*
        #[derive(Clone, Copy, PartialEq, Eq)]
        pub enum $name { $first, $($word,)* }

        #[wasm_bindgen]
        extern "C" {
            #[doc = concat!("[`", stringify!($name), "`], as JavaScript has it.")]
            #[wasm_bindgen(typescript_type = $name)]
            pub type $js;
        }

        impl Field for $name {
            const TYPE: &'static str = stringify!($name);

            fn read(value: &JsValue, reader: &mut Reader) -> Self {
                match value.as_string().as_deref() {
                    Some($first_word) => $name::$first,
                    $(Some($text) => $name::$word,)*
                    _ => {
                        reader.wrong(Self::TYPE, Self::SUFFIX);
                        $name::$first
                    }
                }
            }

            fn write(self) -> JsValue {
                match self {
                    $name::$first => $first_word,
                    $($name::$word => $text,)*
                }
                .into()
            }
        }

        impl $name {
            /// Reads the word.
            ///
            /// # Errors
            /// A sentence that says that it must be one of them.
            pub fn of(word: &$js) -> Result<Self, JsValue> {
                let mut reader = Reader::default();
                let read = Field::read(word, &mut reader);
                reader.end(read)
            }
        }

        declaration!(
            "\n/**", $($doc, "\n",)* " */\nexport type ", stringify!($name), " = '", $first_word, "'", $(" | '", $text, "'",)* ";\n",
        );
    )*};
}

messages! {
    /// What the process has used.
    struct ProcessUsage as JsProcessUsage {
        /// System calls.
        calls as "calls": f64,
        bytes_read as "bytesRead": f64,
        bytes_written as "bytesWritten": f64,
        /// The most descriptors that were open at once.
        files_peak as "filesPeak": f64,
    }

    /// Bytes that are held for an agent, by kind.
    struct HeldBytes as JsHeldBytes {
        memory as "memory": f64,
        tables as "tables": f64,
        files as "files": f64,
        descriptors as "descriptors": f64,
        transfers as "transfers": f64,
        programs as "programs": f64,
    }

    /// What the account of the kernel stands at, in bytes.
    struct AccountUsage as JsAccountUsage {
        /// What may be held.
        max as "max": f64,
        used as "used": f64,
        /// The most that was held at once.
        peak as "peak": f64,
        /// How often more was refused.
        refused as "refused": f64,
        held as "held": HeldBytes,
    }

    /// What is known about a file. Times are in milliseconds since 1970.
    struct FileStat as JsFileStat {
        /// The kind of file, as WASI numbers them.
        kind as "kind": u32,
        size as "size": f64,
        mtime as "mtime": f64,
        atime as "atime": f64,
        ctime as "ctime": f64,
        nlink as "nlink": f64,
        ino as "ino": f64,
    }

    /// A name in a directory.
    struct FileEntry as JsFileEntry {
        name as "name": String,
        /// The kind of file, as WASI numbers them.
        kind as "kind": u32,
    }

    /// An error with one of the package's own codes (`CapfsErrorCode`).
    struct CodedError as JsCodedError {
        code as "code": String,
        message as "message": String,
    }

    /// The standard streams and the console of an agent.
    struct AgentStreams as JsAgentStreams {
        /// Takes what the agent prints: 1 and 2 are the standard streams, 3 is the screen of a terminal of the console's own, if it has one, 4 to 6 are messages.
        print as "print": Print,
        /// Whether the standard streams are a terminal to the agent.
        tty as "tty": bool,
        /// Whether the agent can wait for nothing but the clock.
        clock_only as "clockOnly": bool,
        /// Whether the console has a terminal of its own.
        own_console as "ownConsole": bool,
        /// Where the console can hand over each key at once.
        raw as "raw": Option<RawMode>,
    }

    /// A variable of an environment.
    struct Variable as JsVariable {
        name as "name": String,
        value as "value": String,
    }

    /// A directory that the agent has open from the start.
    struct OpenDirectory as JsOpenDirectory {
        /// What the agent knows it by.
        name as "name": String,
        /// Where it is in the namespace: an absolute path.
        path as "path": String,
    }

    /// What a process is started with.
    struct ProcessStart as JsProcessStart {
        args as "args": Vec<String>,
        env as "env": Vec<Variable>,
        preopens as "preopens": Vec<OpenDirectory>,
        /// Whether the agent can wait for nothing but the clock.
        clock_only as "clockOnly": bool,
        /// Descriptors that may be open at once; what is more than can be counted, 2^32 - 1, is that.
        files as "files": f64,
    }

    /// A tree that one kernel has made for another.
    struct RemoteTree as JsRemoteTree {
        /// Its number there.
        number as "number": u32,
        /// The kind of file that its root is, as WASI numbers them.
        kind as "kind": u32,
    }

    /// A capability to be made by the agent's own kernel.
    struct GrantOrder as JsGrantOrder {
        /// Who the agent is, for what it keeps.
        identity as "identity": String,
        /// What the audit calls it.
        agent as "agent": String,
        device as "device": String,
        /// Keys and values in turn, `at` among them.
        terms as "terms": Vec<String>,
        /// Is told of every operation.
        audit as "audit": Option<TellAudit>,
    }

    /// A capability that another kernel has made for this one's agent.
    struct TreeGrant as JsTreeGrant {
        /// What the audit calls the agent.
        agent as "agent": String,
        device as "device": String,
        /// Keys and values in turn, `at` among them.
        terms as "terms": Vec<String>,
        /// Is told of every operation.
        audit as "audit": Option<TellAudit>,
        /// The kernel that has made it.
        peer as "peer": u32,
        tree as "tree": RemoteTree,
        post as "post": Post,
    }

    /// A capability to be made for a client of this kernel.
    struct ClientGrant as JsClientGrant {
        client as "client": u32,
        /// Who the agent is, for what it keeps.
        identity as "identity": String,
        /// What the audit calls it.
        agent as "agent": String,
        device as "device": String,
        /// Keys and values in turn, `at` among them.
        terms as "terms": Vec<String>,
        /// Is told of every server that is asked: of operations the client's own kernel tells.
        audit as "audit": Option<TellAudit>,
    }

    /// Asks a kernel to make less of a capability for a client that was admitted.
    struct NarrowRequest as JsNarrowRequest {
        client as "client": u32,
        /// The tree of this number that the client has there; 0, what the kernel's own agent holds.
        tree as "tree": u32,
        device as "device": String,
        /// Keys and values in turn, `at` among them.
        terms as "terms": Vec<String>,
        /// Only says whether it could: nothing is made, and there need be no such client yet.
        check as "check": bool,
    }

    /// A capability that was made less of here.
    struct NarrowedHere as JsNarrowedHere {
        /// What was made for the client, where it was not only checked.
        tree as "tree": Option<RemoteTree>,
    }

    /// A capability that another kernel must make less of.
    struct NarrowThere as JsNarrowThere {
        /// That kernel.
        peer as "peer": u32,
        /// The number of the tree there.
        tree as "tree": u32,
        /// Where the agent has it.
        at as "at": String,
    }

    /// Why less of a capability isn't made.
    struct NarrowRefused as JsNarrowRefused {
        /// The name of an errno.
        errno as "errno": String,
        text as "text": String,
    }

    /// A kernel's answer to `NarrowRequest`: one of these.
    struct Narrowing as JsNarrowing {
        here as "here": Option<NarrowedHere>,
        there as "there": Option<NarrowThere>,
        refused as "refused": Option<NarrowRefused>,
    }

    /// Hands a tree that another kernel has made for this one on to a client.
    struct AdoptOrder as JsAdoptOrder {
        client as "client": u32,
        /// The tree of this number that the client has here, which the other is less of; 0 for what the agent has.
        of as "of": u32,
        /// Where the agent has that, for 0.
        at as "at": String,
        /// The kernel that has made the other tree.
        peer as "peer": u32,
        tree as "tree": RemoteTree,
        post as "post": Post,
    }
}

words! {
    /// What a page may ask of files.
    enum FileRequest as JsFileRequest {
        Read = "read",
        Program = "program",
        Write = "write",
        List = "list",
        Stat = "stat",
        MakeDir = "make-dir",
        Remove = "remove",
    }
}

#[cfg(feature = "capabilities")]
messages! {
    /// A directory of a parent's namespace that its task has.
    struct TaskBind as JsTaskBind {
        from as "from": String,
        to as "to": String,
        writable as "writable": bool,
        order as "order": TaskBindOrder,
    }

    /// What a task is started with.
    struct TaskPlan as JsTaskPlan {
        program as "program": String,
        args as "args": Vec<String>,
        env as "env": Vec<Variable>,
        /// What it knows as `.`, beside what is bound.
        dir as "dir": Option<String>,
        binds as "binds": Vec<TaskBind>,
        /// As flags: `fetch,origin=…`.
        grants as "grants": Vec<String>,
    }

    /// What an agent may do with its part of the page.
    struct DomPolicy as JsDomPolicy {
        /// Whether it may write markup.
        raw as "raw": bool,
        /// How many elements it may have.
        elements as "elements": f64,
        /// Whether what it has made is removed at its end.
        cleanup as "cleanup": bool,
    }
}

#[cfg(feature = "capabilities")]
words! {
    /// How what is bound lies with what is there already, as in bind(1).
    enum TaskBindOrder as JsTaskBindOrder {
        Replace = "replace",
        Before = "before",
        After = "after",
    }
}
