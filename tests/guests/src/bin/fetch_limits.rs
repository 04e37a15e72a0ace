//! Bodies over their limit, servers that stall, that break off, that nobody is.

use std::fs::File;
use std::io::Read;
use std::time::{Duration, Instant};

use transcript::conversation::{Conversation, network, outcome};

fn main() {
    let server = std::env::args().nth(1).expect("the server's address");
    let mut agent = Conversation::begin("/cap/fetch").expect("a conversation");
    for length in [1_000_000, 1_000_001] {
        let got = agent.get(&format!("{server}/bytes?length={length}"));
        println!("{length}: {}: {}", outcome(&got), agent.text("error"));
    }
    // What is within the limit is given.
    agent.tell(&format!("url {server}/bytes?length=5000000")).expect("a URL");
    let mut body = File::open(agent.path("body")).expect("a body");
    let mut whole = Vec::new();
    let end = body.read_to_end(&mut whole);
    println!("{} bytes, and then {}", whole.len(), outcome(&end));
    drop(body);

    for path in ["/stall", "/stall-body"] {
        let began = Instant::now();
        let got = agent.get(&format!("{server}{path}"));
        println!("{path}: {}, waited: {}", outcome(&got), began.elapsed() >= Duration::from_millis(300));
    }
    for path in ["/cut", "/bad-gzip"] {
        let got = agent.get(&format!("{server}{path}"));
        println!("{path}: {}, explained: {}", network(&got), !agent.text("error").is_empty());
    }
    let got = agent.get("http://127.0.0.1:1/");
    println!("nobody: {}, explained: {}", network(&got), !agent.text("error").is_empty());

    // The conversation is as good as before.
    let got = agent.get(&format!("{server}/hello"));
    println!("hello: {}", outcome(&got));

    // Two may be under way, and no more.
    let mut others: Vec<_> = (0..3).map(|_| Conversation::begin("/cap/fetch").expect("a conversation")).collect();
    let mut bodies = Vec::new();
    for other in &mut others {
        other.tell(&format!("url {server}/hello")).expect("a URL");
        let body = File::open(other.path("body"));
        println!("one more: {}: {}", outcome(&body), other.text("error"));
        bodies.push(body);
    }
    drop(bodies);
    println!("after those: {}", outcome(&File::open(others[2].path("body"))));
}
