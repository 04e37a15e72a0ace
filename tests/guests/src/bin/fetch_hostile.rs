//! A server that does what no server should (tests/servers/hostile.mjs): whatever it does costs its own request, and what can be
//! understood is understood alike.
//!
//! Left out is what a browser doesn't let anybody see: `set-cookie`, and where a redirect leads that names two places. With a second argument it
//! is asked for what has no end; Chromium goes on taking some of that for all pages, whoever has given it up.

use std::fs::File;
use std::io::Read;

use transcript::conversation::{Conversation, outcome};

fn main() {
    let server = std::env::args().nth(1).expect("the server's address");
    let mut agent = Conversation::begin("/cap/fetch").expect("a conversation");
    if std::env::args().len() > 2 {
        give_up(&mut agent, &server, &["/continue", "/extensions", "/members", "/trailers"]);
        let got = agent.get(&format!("{server}/hops?n=0"));
        println!("after that: {}", String::from_utf8_lossy(&got.unwrap_or_default()));
        return;
    }

    let got = agent.get(&format!("{server}/folded"));
    // White space in its place, of one kind or another (RFC 9112, section 5.2).
    let folded = agent.text("headers/x-folded");
    let words: Vec<_> = folded.split_ascii_whitespace().collect();
    println!("folded: {}: {words:?} in {} line", outcome(&got), folded.lines().count());
    let got = agent.get(&format!("{server}/repeated"));
    println!("repeated: {}: {} and {}", outcome(&got), agent.text("headers/x-twice"), agent.text("headers/etag"));
    let got = agent.get(&format!("{server}/fields?n=60&size=150"));
    println!("60 headers: {}: {} characters", outcome(&got), agent.text("headers/x-7").len());

    // The address is in UTF-8, as it is; the server shows what it was asked for.
    let got = agent.get(&format!("{server}/location?to=/caf\u{e9}%3Fgr%C3%BC%C3%9Fe"));
    let shown = String::from_utf8(got.unwrap_or_default()).expect("text");
    println!("location: {}", shown.lines().next().unwrap_or_default());
    let got = agent.get(&format!("{server}/hops?n=5"));
    println!("hops: {}", String::from_utf8_lossy(&got.unwrap_or_default()));
    for code in [207, 226, 423, 425, 431, 451, 507, 511, 599] {
        let got = agent.get(&format!("{server}/status?code={code}"));
        println!("{}: {}", agent.text("status"), outcome(&got));
    }

    give_up(&mut agent, &server, &["/head", "/slow-head"]);
    agent.tell("timeout 30000").expect("a time");
    agent.tell(&format!("url {server}/slow-body")).expect("a URL");
    let mut body = File::open(agent.path("body")).expect("a body");
    let mut first = [0];
    let got = body.read_exact(&mut first);
    println!("slow body: {}: {}", outcome(&got), char::from(first[0]));
    drop(body);

    let got = agent.get(&format!("{server}/hops?n=0"));
    println!("after that: {}", String::from_utf8_lossy(&got.unwrap_or_default()));
}

/// Asks for what has no end: natively it is given up for what came, elsewhere at a limit of the platform's, or when its time is up.
fn give_up(agent: &mut Conversation, server: &str, paths: &[&str]) {
    agent.tell("timeout 700").expect("a time");
    for path in paths {
        let given_up = agent.get(&format!("{server}{path}")).is_err();
        println!("{path}: given up: {given_up}, explained: {}", !agent.text("error").is_empty());
    }
}
