//! Builds what a page loads: the kernel as WebAssembly, and the small modules between it and an agent.
//!
//! `capfs-build kernel --out web/dist` writes everything; `capfs-build text stub|multi|single` prints one
//! of the generated modules for reading.

mod adapter;
mod calls;
mod kernel;
mod stub;

use std::path::PathBuf;

use adapter::Memories;
use anyhow::Result;
use clap::{Parser, Subcommand, ValueEnum};

#[derive(Parser)]
#[command(
    name = "capfs-build",
    about = "Builds the kernel and the modules between it and an agent"
)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Build the kernel, the stub and both adapters
    Kernel {
        /// The folder to write into
        #[arg(long, default_value = "web/dist")]
        out: PathBuf,
    },
    /// Print a generated module in the text format
    Text {
        /// Which one
        module: Generated,
    },
}

#[derive(Clone, Copy, ValueEnum)]
enum Generated {
    /// What an agent imports
    Stub,
    /// The adapter for engines with multi-memory
    Multi,
    /// The adapter for engines without
    Single,
}

impl Generated {
    fn text(self) -> String {
        match self {
            Generated::Stub => stub::text(),
            Generated::Multi => adapter::text(Memories::Multi),
            Generated::Single => adapter::text(Memories::Single),
        }
    }

    fn file(self) -> &'static str {
        match self {
            Generated::Stub => "stub.wasm",
            Generated::Multi => "adapter-multi.wasm",
            Generated::Single => "adapter-single.wasm",
        }
    }
}

fn main() -> Result<()> {
    match Arguments::parse().command {
        Command::Kernel { out } => {
            for module in Generated::value_variants() {
                kernel::write(&out, module.file(), &wat::parse_str(module.text())?)?;
            }
            kernel::build(&out)
        }
        Command::Text { module } => {
            print!("{}", module.text());
            Ok(())
        }
    }
}
