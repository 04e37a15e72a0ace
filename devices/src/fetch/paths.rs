//! `https/<host>/<path>` and `http/…`: a URL as a path. Opening it is a GET, so that `cat` is a client.

use std::any::Any;
use std::sync::Arc;

use capfs::device::conversations::LastError;
use capfs::device::parts::{set_device_stat, stream_stat};
use capfs::device::synthetic::DynamicNames;
use capfs::{
    DirEntry, Directory, Errno, FileKind, Name, Node, NodeRef, Op, OpenFile, OpenHow, Qid, SetStat,
    Stat,
};

use super::Fetch;
use super::exchange::{Exchange, Settings};
use crate::url::URL_MAX;

/// The hosts of a scheme. They can't be listed, but each is there.
pub struct Hosts {
    pub fetch: Arc<Fetch>,
    pub error: Arc<LastError>,
    pub scheme: &'static str,
}

impl DynamicNames for Hosts {
    fn find(&self, name: &str) -> Op<NodeRef> {
        Op::ok(Arc::new(Resource {
            qid: self.fetch.device.qid(FileKind::CharacterDevice),
            fetch: self.fetch.clone(),
            error: self.error.clone(),
            url: format!("{}://{name}", self.scheme),
        }))
    }

    fn list(&self, _cookie: u64, _max: usize) -> Op<Vec<DirEntry>> {
        Op::ok(Vec::new())
    }
}

/// A URL. It is a file, and has names below it.
struct Resource {
    qid: Qid,
    fetch: Arc<Fetch>,
    error: Arc<LastError>,
    url: String,
}

impl Node for Resource {
    fn qid(&self) -> Qid {
        self.qid
    }

    fn stat(&self) -> Op<Stat> {
        Op::ok(stream_stat(self.qid))
    }

    /// # Errors
    /// - [`Errno::Acces`]: for writing; what is not granted; the statuses 401 and 403
    /// - [`Errno::Noent`]: no URL; the statuses 404 and 410
    /// - [`Errno::Io`]: every other status but 2xx
    /// - whatever the network says
    fn open(&self, how: OpenHow) -> Op<Box<dyn OpenFile>> {
        if how.write || how.truncate {
            return Op::err(Errno::Acces);
        }
        let Some(url) = self.fetch.host.parse(&self.url, None) else {
            let text = format!("no URL: {}", self.url);
            return Op::err(self.error.explain(Errno::Noent, text));
        };
        let settings = Settings {
            url: Some(url),
            method: Some("GET".to_owned()),
            manual: false,
            ..self.fetch.defaults()
        };
        let exchange = Exchange::new(self.fetch.clone(), settings, self.error.clone());
        exchange.open_body().then(move |file| {
            let answer = exchange.answer();
            let status = answer.as_ref().map_or(0, |answer| answer.status);
            let errno = match status {
                200..=299 => return Op::ok(file),
                401 | 403 => Errno::Acces,
                404 | 410 => Errno::Noent,
                _ => Errno::Io,
            };
            let reason = answer.map(|answer| answer.reason.clone());
            let text = format!("{status} {}", reason.unwrap_or_default());
            Op::err(exchange.error.explain(errno, text.trim_end()))
        })
    }

    fn set_stat(&self, change: SetStat) -> Op<()> {
        set_device_stat(change)
    }

    fn subject(&self) -> Option<String> {
        Some(self.url.clone())
    }

    fn directory(&self) -> Option<&dyn Directory> {
        Some(self)
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

impl Directory for Resource {
    fn walk(&self, name: Name<'_>) -> Op<NodeRef> {
        let url = format!("{}/{}", self.url, name.as_str());
        if url.len() > URL_MAX {
            return Op::err(Errno::Nametoolong);
        }
        Op::ok(Arc::new(Resource {
            qid: self.fetch.device.qid(FileKind::CharacterDevice),
            fetch: self.fetch.clone(),
            error: self.error.clone(),
            url,
        }))
    }
}
