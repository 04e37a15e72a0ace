//! The console of an agent: its standard streams, or a terminal of the page's.

use std::cell::Cell;
use std::rc::Rc;

use capfs::account::Account;
use capfs::{Errno, OpenFile};
use capfs_devices::console::{Level, Terminal};
use js_sys::Function;
use wasm_bindgen::JsValue;

use crate::stdio::{Input, Output};

/// The streams of one kernel between the agent and the page: standard input, output and error, and the console's.
#[derive(Clone)]
pub struct Streams {
    pub input: Input,
    /// By number, from 1 on: standard output and error, the console's screen, its three kinds of messages.
    pub outputs: [Output; 6],
    pub tty: bool,
    pub console: ConsoleState,
}

/// What the page has for a console.
#[derive(Clone, Default)]
pub struct ConsoleState {
    /// What is typed into a terminal of the console's own; without one it is on the standard streams.
    pub own: Option<Input>,
    /// Is told to hand over each key at once, or no longer.
    pub raw: Option<Function>,
    /// Columns and rows.
    pub size: Rc<Cell<Option<(u32, u32)>>>,
}

impl Streams {
    /// The agent has ended: nothing comes any more, and nothing is taken. Whoever else waits at them learns of it.
    pub fn end(&self) {
        self.input.end();
        if let Some(own) = &self.console.own {
            own.end();
        }
        self.outputs.iter().for_each(Output::close);
    }

    /// Standard input, or what is typed into the console's own terminal.
    pub fn input(&self, console: bool) -> &Input {
        match &self.console.own {
            Some(own) if console => own,
            _ => &self.input,
        }
    }
}

/// The console that an agent sees.
pub struct PageTerminal(pub Streams);

const SCREEN: usize = 2;
const MESSAGES: usize = 3;

impl Terminal for PageTerminal {
    fn input(&self) -> Result<Box<dyn OpenFile>, Errno> {
        let own = self.0.console.own.is_some();
        Ok(self.0.input(true).open(own || self.0.tty))
    }

    fn output(&self) -> Result<Box<dyn OpenFile>, Errno> {
        Ok(match self.0.console.own {
            Some(_) => self.0.outputs[SCREEN].open(true),
            None => self.0.outputs[0].open(self.0.tty),
        })
    }

    /// The page is told of each piece as it is: nothing is kept here.
    fn messages(&self, level: Level, _account: &Account) -> Result<Box<dyn OpenFile>, Errno> {
        Ok(self.0.outputs[MESSAGES + level as usize].open(false))
    }

    fn set_raw(&self, raw: bool) -> Result<(), Errno> {
        let tell = self.0.console.raw.as_ref().ok_or(Errno::Notty)?;
        tell.call1(&JsValue::NULL, &raw.into())
            .map(|_| ())
            .map_err(|_| Errno::Io)
    }

    fn size(&self) -> Option<(u32, u32)> {
        self.0.console.size.get()
    }
}
