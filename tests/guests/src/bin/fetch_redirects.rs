//! Redirects, within what is granted.

use std::fs;

use transcript::conversation::{Conversation, outcome};

fn main() {
    let server = std::env::args().nth(1).expect("the server's address");
    let other = std::env::args().nth(2).expect("another server's address");
    let mut agent = Conversation::begin("/cap/fetch").expect("a conversation");
    agent.tell("header x-mine: 1").expect("a header");
    for (code, method, body) in [(301, "GET", ""), (302, "POST", "abc"), (303, "PUT", "abc"), (307, "POST", "abc"), (308, "PUT", "abc")] {
        agent.tell(&format!("method {method}")).expect("a method");
        if !body.is_empty() {
            fs::write(agent.path("postbody"), body).expect("a body");
        }
        let got = agent.get(&format!("{server}/redirect?code={code}&to=/echo?n={code}"));
        println!("{method} {code}: {}", outcome(&got));
        print!("{}", String::from_utf8_lossy(&got.unwrap_or_default()));
        println!("{}", agent.text("parsed/url"));
    }
    // To another origin that is granted, without credentials. Headers of the agent's own go there in a browser, and nowhere else.
    let mut agent = Conversation::begin("/cap/fetch").expect("a conversation");
    agent.tell("header authorization: Bearer secret").expect("a header");
    let got = agent.get(&format!("{server}/redirect?to={other}/echo"));
    print!("{}", String::from_utf8_lossy(&got.unwrap_or_default()));
    println!("{}", agent.text("parsed/url"));
    // A page isn't told the fragment of a redirect: there is none then, and never that of another address.
    let got = agent.get(&format!("{server}/redirect?to=/echo%23own#asked"));
    println!("a fragment: {}: {}", outcome(&got), matches!(&*agent.text("parsed/fragment"), "own" | ""));
    let got = agent.get(&format!("{server}/echo#asked"));
    println!("a fragment, not redirected: {}: {}", outcome(&got), agent.text("parsed/fragment"));
    for address in [&server, &other] {
        let to = address.replace("//", "//me:pw@");
        let got = agent.get(&format!("{server}/redirect?to={to}/echo"));
        println!("a password: {}", got.is_err());
    }
    let got = agent.get(&format!("{server}/loop"));
    println!("a loop: {}", got.is_err());
}
