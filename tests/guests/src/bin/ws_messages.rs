//! Messages there and back, sub-protocols, how servers close.

use std::fs::{self, File, OpenOptions};
use std::io::{Read, Write};

use transcript::conversation::{Conversation, network, outcome, sum};

fn data(agent: &Conversation) -> File {
    OpenOptions::new().read(true).write(true).open(agent.path("data")).expect("data")
}

fn receive(data: &mut File, length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    let count = data.read(&mut bytes).expect("a message");
    bytes.truncate(count);
    bytes
}

fn main() {
    let server = std::env::args().nth(1).expect("the server's address");
    println!("{}", fs::read_to_string("/cap/ws/policy").expect("the policy").trim_end());
    let mut agent = Conversation::begin("/cap/ws").expect("a conversation");
    let mut names: Vec<_> = fs::read_dir(&agent.at)
        .expect("listing")
        .map(|entry| entry.expect("an entry").file_name().into_string().expect("a name"))
        .collect();
    names.sort();
    println!("{names:?}");
    println!("{}", agent.text("status"));
    let mut socket = data(&agent);
    println!("reading before: {}", outcome(&socket.read(&mut [0; 9])));
    println!("writing before: {}", outcome(&socket.write(b"x")));
    agent.tell(&format!("connect {server}/echo chat other")).expect("a connection");
    let port = server.rsplit(':').next().expect("a port");
    println!("{}, {:?}, {}", agent.text("status"), agent.text("protocol"), agent.text("remote").replace(port, "PORT"));
    println!("again: {}", outcome(&agent.tell(&format!("connect {server}/echo"))));

    socket.write_all("grüße 😀".as_bytes()).expect("a text");
    socket.write_all(b"second").expect("a text");
    println!("{} {}", String::from_utf8_lossy(&receive(&mut socket, 100)), agent.text("type"));
    println!("{:?}", String::from_utf8_lossy(&receive(&mut socket, 4)));
    println!("{:?}", String::from_utf8_lossy(&receive(&mut socket, 4)));
    println!("no UTF-8: {}: {}", outcome(&socket.write(&[0xff])), agent.text("error"));
    agent.tell("binary").expect("bytes");
    socket.write_all(&[0, 0xff, 0xfe]).expect("bytes");
    println!("{:?} {}", receive(&mut socket, 100), agent.text("type"));
    let large: Vec<u8> = (0..1_000_000u32).map(|number| (number / 7) as u8).collect();
    println!("{} bytes at once", socket.write(&large).expect("a large message"));
    let mut whole = Vec::new();
    while whole.len() < large.len() {
        whole.extend(receive(&mut socket, 65_536));
    }
    println!("{} bytes, {:08x}, the same: {}", whole.len(), sum(&whole), whole == large);

    agent.tell("text").expect("texts");
    for number in 0..3_000u32 {
        socket.write_all(number.to_string().as_bytes()).expect("a number");
    }
    let in_order = (0..3_000u32).all(|number| receive(&mut socket, 20) == number.to_string().as_bytes());
    println!("3000 in order: {in_order}");
    agent.tell("hangup 3210 enough of that").expect("hanging up");
    println!("the end: {:?}", receive(&mut socket, 20));
    println!("{}", agent.text("status"));
    println!("writing behind it: {}", outcome(&socket.write(b"x")));

    for how in ["1000", "4001 with a reason", "none", "cut"] {
        agent.tell(&format!("connect {server}/close")).expect("a connection");
        socket.write_all(how.as_bytes()).expect("how to close");
        let last = receive(&mut socket, 100);
        let end = socket.read(&mut [0; 9]);
        println!("{how}: {}, {}, {:?}", String::from_utf8_lossy(&last), network(&end), agent.text("status").get(..11));
    }
    agent.tell(&format!("connect {server}/tail")).expect("a connection");
    for last in [false, false, true, false] {
        let message = receive(&mut socket, 100);
        // The end is told once all that came before it was read: behind the last message the close may have come, or not yet.
        let status = if last { "the last".to_owned() } else { agent.text("status") };
        println!("{:?}, {status}", String::from_utf8_lossy(&message));
    }
    agent.tell(&format!("connect {server}/half")).expect("a connection");
    println!("{}", String::from_utf8_lossy(&receive(&mut socket, 100)));
    println!("mid-message: {}", network(&socket.read(&mut [0; 9])));
}
