//! What isn't granted, and commands that are none.

use std::fs;

use transcript::conversation::{Conversation, name, outcome};

fn main() {
    let server = std::env::args().nth(1).expect("the server's address");
    let other = std::env::args().nth(2).expect("another server's address");
    let mut agent = Conversation::begin("/cap/fetch").expect("a conversation");
    let port = server.rsplit(':').next().expect("a port");
    for url in [
        format!("{other}/hello"),
        format!("http://localhost:{port}/hello"),
        format!("https://127.0.0.1:{port}/hello"),
        "ftp://127.0.0.1/".to_owned(),
        "file:///etc/passwd".to_owned(),
        format!("http://user:password@127.0.0.1:{port}/hello"),
        "not a url".to_owned(),
        "http://".to_owned(),
    ] {
        let got = agent.get(&url);
        println!("{}", format!("{url}: {}: {}", outcome(&got), agent.text("error")).replace(port, "PORT"));
    }
    for command in [
        "fly", "url", "method G ET", "method CONNECT", "method TRACE", "header no colon", "header na me: x",
        "header Host: elsewhere", "header Cookie: a=b", "header Sec-Fetch-Mode: no-cors", "header Content-Length: 1",
        "timeout never", "timeout -1", "redirect sometimes", "send please", "abort now",
    ] {
        println!("{command}: {}: {}", outcome(&agent.tell(command)), agent.text("error"));
    }
    agent.tell("method DELETE").expect("a method");
    let got = agent.get(&format!("{server}/echo"));
    println!("DELETE: {}: {}", outcome(&got), agent.text("error"));
    agent.tell("method GET").expect("a method");

    // To a server that isn't granted by a redirect of one that is.
    let got = agent.get(&format!("{server}/redirect?to={other}/hello"));
    println!("redirected: {}: {}", outcome(&got), agent.text("error"));
    let host = other.strip_prefix("http://").expect("http");
    let got = fs::read(format!("/cap/fetch/http/{host}/hello"));
    println!("as a path: {}: {:?}", outcome(&got), fs::read_to_string("/cap/fetch/error").map_err(|error| name(&error)));

    for file in ["policy", "https", "1/status", "1/body"] {
        println!("writing {file}: {}", outcome(&fs::write(format!("/cap/fetch/{file}"), "x")));
    }
    println!("reading postbody: {}", outcome(&fs::read(agent.path("postbody"))));
    println!("no such conversation: {}", outcome(&fs::read("/cap/fetch/77/status")));

    // More conversations than there may be; all of them end with their descriptors.
    let mut kept = vec![agent];
    let mut refused = 0;
    for _ in 0..10_000 {
        match Conversation::begin("/cap/fetch") {
            Ok(conversation) => kept.push(conversation),
            Err(error) if name(&error) == "MFILE" => refused += 1,
            Err(error) => println!("another error: {}", name(&error)),
        }
    }
    println!("{} conversations, {refused} refused", kept.len());
    kept.clear();
    let left = fs::read_dir("/cap/fetch").expect("listing").filter(|entry| {
        let name = entry.as_ref().expect("an entry").file_name();
        name.to_str().expect("a name").parse::<u32>().is_ok()
    });
    println!("{} left", left.count());
}
