// Feeds for the reader: RSS and Atom with validators, and what is none. Everybody may ask, from any page.

import { createServer } from 'node:http'
import { loopback } from './loopback.mjs'

const RSS = `<?xml version="1.0" encoding="utf-8"?>
<rss version="2.0"><channel><title>News &amp; more</title>
<item><title>The older</title><link>https://news.example/1</link><pubDate>Thu, 01 Jan 2026 12:00:00 GMT</pubDate></item>
<item><title><![CDATA[The <b>newer</b>]]></title><link>javascript:alert(1)</link><guid>two</guid><pubDate>Fri, 02 Jan 2026 12:00:00 +0100</pubDate>
<description>&lt;p&gt;With &lt;script&gt;alert(1)&lt;/script&gt;markup &amp;amp; an escape: \u009b31m&lt;/p&gt;</description></item>
</channel></rss>
`

const ATOM = `<feed xmlns="http://www.w3.org/2005/Atom"><title>Grüße</title>
<entry><title>Eins</title><id>urn:1</id><link href="https://atom.example/1?a&amp;b"/><updated>2026-01-31T09:05:00Z</updated>
<content type="xhtml"><div xmlns="http://www.w3.org/1999/xhtml">Some <em>words</em></div></content></entry></feed>
`

const FEEDS = { '/rss': RSS, '/atom': ATOM, '/words': 'words', '/cut': RSS.slice(0, 300) }

/** Starts it on loopback. */
export async function serve() {
  const server = createServer((request, response) => {
    response.setHeader('access-control-allow-origin', '*')
    response.setHeader('access-control-allow-headers', '*')
    response.setHeader('access-control-expose-headers', '*')
    if (request.method === 'OPTIONS') return void response.writeHead(204).end()
    const feed = FEEDS[request.url]
    if (feed === undefined) return void response.writeHead(404).end()
    const etag = `"${feed.length}"`
    response.setHeader('etag', etag)
    if (request.headers['if-none-match'] === etag) return void response.writeHead(304).end()
    response.setHeader('content-type', 'application/xml').end(feed)
  })
  return loopback(server)
}
