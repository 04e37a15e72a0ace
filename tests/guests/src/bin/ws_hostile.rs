//! A server that closes WebSockets as none does (tests/servers/hostile.mjs): agents read its own words on every host.
//!
//! Its floods are for the tests of the native device alone: a browser answers pings as long as they come, agents see nothing of it.

use std::fs::{File, OpenOptions};
use std::io::{Read, Write};

use transcript::conversation::{Conversation, network, outcome};

fn connected(url: &str) -> (Conversation, File) {
    let mut agent = Conversation::begin("/cap/ws").expect("a conversation");
    agent.tell(&format!("connect {url}")).expect("a connection");
    let data = OpenOptions::new().read(true).write(true).open(agent.path("data"));
    (agent, data.expect("messages"))
}

fn main() {
    let server = std::env::args().nth(1).expect("the server's address");
    for (code, reason) in [(1000, ""), (1012, "back+soon"), (1014, "bad+gateway"), (3000, "x"), (4999, "y")] {
        let (agent, mut data) = connected(&format!("{server}/ws/close?code={code}&reason={reason}"));
        let end = data.read(&mut [0; 9]);
        println!("{code}: {}: {}", outcome(&end), agent.text("status"));
    }
    // What no close may have: browsers don't tell why the connection ended.
    for code in [1005, 1006, 1015] {
        let (agent, mut data) = connected(&format!("{server}/ws/close?code={code}"));
        let end = data.read(&mut [0; 9]);
        let end = network(&end.map(|_| ()));
        println!("{code}: {end}: {}", agent.text("status").starts_with("Hangup 1006"));
    }
    let (_agent, mut data) = connected(&format!("{server}/ws/echo"));
    data.write_all(b"still there").expect("a message");
    let mut buffer = [0; 99];
    let count = data.read(&mut buffer).expect("a message");
    println!("{}", String::from_utf8_lossy(&buffer[..count]));
}
