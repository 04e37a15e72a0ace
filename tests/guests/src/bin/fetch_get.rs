//! Requests and answers: the files of a conversation, one request after another, URLs as paths.

use std::fs;

use transcript::conversation::{Conversation, name, outcome, sum};

fn main() {
    let server = std::env::args().nth(1).expect("the server's address");
    println!("{}", fs::read_to_string("/cap/fetch/policy").expect("the policy").trim_end());
    let mut get = Conversation::begin("/cap/fetch").expect("a conversation");
    println!("status before: {:?}", get.text("status"));
    let body = get.get(&format!("{server}/hello?a=b%20c#part")).expect("an answer");
    print!("{}", String::from_utf8_lossy(&body));
    for file in ["status", "headers/x-greeting", "headers/x-missing", "error"] {
        println!("{file}: {:?}", get.text(file));
    }
    for part in ["scheme", "host", "path", "query", "fragment"] {
        println!("parsed/{part}: {:?}", get.text(&format!("parsed/{part}")));
    }
    let mut names: Vec<_> = fs::read_dir(&get.at)
        .expect("listing")
        .map(|entry| entry.expect("an entry").file_name().into_string().expect("a name"))
        .collect();
    names.sort();
    println!("{names:?}");

    // The settings stay for the next request.
    get.tell("header x-mine: 1\nheader X-Mine: 2").expect("headers");
    let body = get.get(&format!("{server}/echo")).expect("an answer");
    print!("{}", String::from_utf8_lossy(&body));

    for path in ["/status?code=404", "/status?code=500", "/status?code=204", "/nowhere"] {
        let body = get.get(&format!("{server}{path}"));
        let body = body.map(|body| String::from_utf8_lossy(&body).into_owned());
        println!("{path}: {:?}, {:?}", get.text("status"), body.map_err(|error| name(&error)));
    }

    // Bodies of some size, as they are and compressed on the way.
    for path in ["/pattern?length=3000000", "/gzip?length=1000000", "/bytes?length=5000000", "/bytes?length=100000&chunked"] {
        let body = get.get(&format!("{server}{path}")).expect("a body");
        println!("{path}: {} bytes, {:08x}", body.len(), sum(&body));
    }

    let host = server.strip_prefix("http://").expect("http");
    let path = |path: &str| fs::read_to_string(format!("/cap/fetch/http/{host}{path}"));
    println!("as a path: {:?}", path("/hello").map_err(|error| name(&error)));
    println!("a query: {:?}", path("/echo?x=y").map_err(|error| name(&error)));
    println!("missing: {}", outcome(&path("/nowhere")));
    println!("broken: {}", outcome(&path("/status?code=500")));
    println!("why: {:?}", fs::read_to_string("/cap/fetch/error").expect("the error"));
}
