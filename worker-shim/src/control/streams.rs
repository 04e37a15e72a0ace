//! The standard streams and the console, from the page's side.

use wasm_bindgen::prelude::*;

use super::machine;
use crate::devices::console::{ConsoleState, Streams};
use crate::machine::{Agent, with_machine};
use crate::protocol::{AgentStreams, JsAgentStreams, Print, RawMode};
use crate::stdio::{Input, OUTPUT_WINDOW, OUTPUT_WINDOW_UNWAITING, Output};

/// Makes the standard streams and the console.
///
/// # Errors
/// A sentence that says which field isn't as it must be.
#[wasm_bindgen]
pub fn streams(made: JsAgentStreams) -> Result<(), JsValue> {
    let AgentStreams {
        print: Print(output),
        tty,
        clock_only,
        own_console,
        raw,
    } = AgentStreams::of(&made)?;
    let window = if clock_only {
        OUTPUT_WINDOW_UNWAITING
    } else {
        OUTPUT_WINDOW
    };
    let outputs = [1, 2, 3, 4, 5, 6].map(|stream| Output::new(stream, window, output.clone()));
    machine(|machine| {
        machine.agent = Agent::Runs;
        machine.streams = Some(Streams {
            input: Input::default(),
            outputs,
            tty,
            console: ConsoleState {
                own: own_console.then(Input::default),
                raw: raw.map(|RawMode(raw)| raw),
                ..ConsoleState::default()
            },
        });
        Ok(())
    })
}

fn with_streams<R>(action: impl FnOnce(&Streams) -> R) -> Option<R> {
    with_machine(|machine| machine.streams.as_ref().map(action)).flatten()
}

/// Does something to one of the streams to the page.
fn with_output(stream: u8, action: impl FnOnce(&Output)) {
    with_streams(|streams| {
        streams
            .outputs
            .get(usize::from(stream).wrapping_sub(1))
            .map(action)
    });
}

/// Tells how large the console's screen is.
#[wasm_bindgen]
pub fn resize(columns: u32, rows: u32) {
    with_streams(|streams| streams.console.size.set(Some((columns, rows))));
}

/// Adds to standard input, or to what is typed into the console's own terminal.
#[wasm_bindgen]
pub fn feed(console: bool, bytes: &[u8]) {
    with_streams(|streams| streams.input(console).feed(bytes));
}

/// Ends the input.
#[wasm_bindgen]
pub fn end_input(console: bool) {
    with_streams(|streams| streams.input(console).end());
}

/// Ends the input because what it comes from has failed: the agent reads what came, and then `EIO`.
#[wasm_bindgen]
pub fn fail_input(console: bool) {
    with_streams(|streams| streams.input(console).fail());
}

/// Bytes of the input that the agent has taken since this was asked last.
#[wasm_bindgen]
pub fn input_taken(console: bool) -> u32 {
    with_streams(|streams| match console && streams.console.own.is_none() {
        true => 0,
        false => streams.input(console).taken() as u32,
    })
    .unwrap_or(0)
}

/// The page has read `bytes` bytes of a stream.
#[wasm_bindgen]
pub fn output_read(stream: u8, bytes: u32) {
    with_output(stream, |output| output.acknowledge(bytes as usize));
}

/// The page reads no more of a stream.
#[wasm_bindgen]
pub fn output_closed(stream: u8) {
    with_output(stream, Output::close);
}
