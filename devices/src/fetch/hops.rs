//! A request and its redirects ([Fetch, HTTP-redirect fetch](https://fetch.spec.whatwg.org/#http-redirect-fetch)). Each address that is
//! asked is checked, counted against the rate, and told to whoever observes.

use std::sync::Arc;

use capfs::Errno;

use super::exchange::Answer;
use super::host::{Failure, Hold, Redirect, Request, RequestBody, Response, ResponseBody};
use super::{Fetch, REDIRECTS_MAX, RESPONSE_FIELDS_MAX, RESPONSE_HEADERS_MAX, SCHEMES};
use crate::audit::Asking;
use crate::message::{as_utf8, combined, goes_to_other_origins, reason};
use crate::url::Url;

/// The request that is to be sent next.
pub struct Hops<'a> {
    pub fetch: &'a Arc<Fetch>,
    pub url: Url,
    pub method: String,
    pub headers: Vec<(String, String)>,
    pub body: RequestBody,
    pub follow: bool,
    /// A redirect has led here.
    pub led: bool,
    /// When there must be an answer, by the host's clock.
    pub deadline: u64,
    pub hold: Hold,
}

impl Hops<'_> {
    /// Asks, and goes where redirects lead, until there is an answer.
    ///
    /// # Errors
    /// What the policy says, and the network.
    pub async fn follow(mut self) -> Result<(Answer, Box<dyn ResponseBody>), Failure> {
        for _ in 0..=REDIRECTS_MAX {
            let mut response = self.ask().await?;
            if let Some(url) = self.arrived(&response)? {
                let own = std::mem::take(&mut response.reason);
                let words = || reason(response.status).to_owned();
                let words = Some(own)
                    .filter(|own| !own.is_empty())
                    .unwrap_or_else(words);
                let answer = Answer::new(
                    self.fetch.device.account(),
                    url,
                    (response.status, words),
                    combined(response.headers),
                )?;
                return Ok((answer, response.body));
            }
            self.go_on(&response)?;
        }
        let text = format!("more than {REDIRECTS_MAX} redirects");
        Err(Failure::new(Errno::Loop, text))
    }

    /// Asks one address, when it is its turn.
    async fn ask(&self) -> Result<Response, Failure> {
        let host = &*self.fetch.host;
        let mut asking = Asking {
            observers: &self.fetch.observers,
            host,
            operation: "request",
            method: &self.method,
            url: &self.url.href,
            began: host.now(),
            deadline: self.deadline,
            asked: false,
        };
        let outcome = self.send(&mut asking).await;
        asking.ended(outcome.as_ref().map(|response| response.status));
        let response = outcome?;
        if response.redirected {
            // Where they led is seen afterwards, how many there were never: they count as one.
            self.fetch.policies.spend(host.now());
        }
        check_headers(&response)?;
        Ok(response)
    }

    async fn send(&self, asking: &mut Asking<'_>) -> Result<Response, Failure> {
        let (host, policies) = (&*self.fetch.host, &self.fetch.policies);
        self.check(&self.url, self.led)?;
        let now = host.now();
        let wait = policies.delay(now, self.deadline.saturating_sub(now))?;
        if wait > 0 {
            host.sleep(wait).await;
            asking.began = host.now();
        }
        let mut headers = self.headers.clone();
        policies.add_headers(&self.url.origin, &mut headers);
        let redirect = if host.abilities().sees_redirects {
            Redirect::Show
        } else if !self.follow || !policies.headers(&self.url.origin).is_empty() {
            // The host would take along what it added, to wherever the redirect leads.
            Redirect::Refuse
        } else {
            Redirect::Follow
        };
        let request = Request {
            url: self.url.clone(),
            method: self.method.clone(),
            headers,
            body: self.body.clone(),
            redirect,
            hold: self.hold.clone(),
            account: self.fetch.device.account().clone(),
        };
        asking.begin()?;
        self.fetch.client.send(request).await
    }

    /// Checks what is to be asked or was.
    ///
    /// # Errors
    /// - `EPROTO`: a redirect has `led` to what nobody may ask for: that is the server's doing, not the agent's
    /// - as [`Layers::check`](super::policy::Layers::check)
    fn check(&self, url: &Url, led: bool) -> Result<(), Failure> {
        if led && url.credentials {
            let text = "a redirect to a URL with a user name or a password";
            return Err(Failure::new(Errno::Proto, text));
        }
        self.fetch.policies.check(url, &self.method)
    }

    /// The URL of the response, if it is the last one.
    fn arrived(&self, response: &Response) -> Result<Option<Url>, Failure> {
        let followed = match &response.url {
            Some(url) => Some(self.fetch.host.parse(url, None).ok_or_else(|| {
                Failure::new(Errno::Proto, format!("the response's URL is none: {url}"))
            })?),
            None => None,
        };
        if let Some(mut url) = followed {
            // Where a redirect led, what was asked may have been replaced, and a page isn't told by what.
            if !response.redirected {
                url.inherit_fragment(&self.url);
            }
            // Where the host follows redirects, this is the first that is seen of it.
            self.check(&url, response.redirected)?;
            return Ok(Some(url));
        }
        let redirects = matches!(response.status, 301 | 302 | 303 | 307 | 308);
        match redirects && self.follow && location(response)?.is_some() {
            true => Ok(None),
            false => Ok(Some(self.url.clone())),
        }
    }

    /// Goes on where a redirect says.
    fn go_on(&mut self, response: &Response) -> Result<(), Failure> {
        let location = location(response)?.unwrap_or_default();
        let next = self.fetch.host.parse(&location, Some(&self.url));
        let mut next = next.ok_or_else(|| {
            let text = format!("a redirect to what is no URL: {location}");
            Failure::new(Errno::Proto, text)
        })?;
        if !SCHEMES.contains(&&*next.origin.scheme) {
            let text = format!("a redirect to {}", next.href);
            return Err(Failure::new(Errno::Acces, text));
        }
        next.inherit_fragment(&self.url);
        let becomes_get = match response.status {
            301 | 302 => self.method == "POST",
            303 => !matches!(&*self.method, "GET" | "HEAD"),
            _ => false,
        };
        if becomes_get {
            self.method = "GET".to_owned();
            self.body = RequestBody::None;
            self.headers.retain(|(name, _)| {
                let of_the_body = [
                    "content-encoding",
                    "content-language",
                    "content-location",
                    "content-type",
                ];
                !of_the_body.contains(&&**name)
            });
        }
        if let RequestBody::Stream(_) = self.body {
            let text = "a redirect asks for the body again, which was not kept";
            return Err(Failure::new(Errno::Io, text));
        }
        if next.origin != self.url.origin {
            self.headers.retain(|(name, _)| goes_to_other_origins(name));
        }
        self.url = next;
        self.led = true;
        Ok(())
    }
}

/// Where a redirect leads. Its bytes are UTF-8, whatever else headers are: that is how servers write addresses that aren't escaped.
///
/// # Errors
/// - `EPROTO`: to two places
fn location(response: &Response) -> Result<Option<String>, Failure> {
    let mut locations = response
        .headers
        .iter()
        .filter(|(name, _)| name == "location")
        .map(|(_, value)| value);
    let first = locations.next();
    if locations.any(|other| Some(other) != first) {
        let text = "a redirect to more than one place";
        return Err(Failure::new(Errno::Proto, text));
    }
    Ok(first.map(|value| as_utf8(value)))
}

/// That the headers of an answer are within their limits.
fn check_headers(response: &Response) -> Result<(), Failure> {
    let too_much = |text: String| Err(Failure::new(Errno::Msgsize, text));
    if response.headers.len() > RESPONSE_FIELDS_MAX {
        return too_much(format!(
            "the answer has more than {RESPONSE_FIELDS_MAX} headers"
        ));
    }
    let size = |(name, value): &(String, String)| name.len() + value.len();
    match response.headers.iter().map(size).sum::<usize>() {
        size if size > RESPONSE_HEADERS_MAX => too_much(format!(
            "the headers of the answer have more than {RESPONSE_HEADERS_MAX} bytes"
        )),
        _ => Ok(()),
    }
}
