// The TCP clients of a case that listens.

import { once } from 'node:events'
import { connect } from 'node:net'

/** The line by which the host says where it listens. */
const LISTENING = /^listening at 127\.0\.0\.1:(\d+), descriptor \d+\n/gm

export class Clients {
  #ports = []
  #connections = []

  /** Takes the ports from what the host has said so far. */
  learn(said) {
    this.#ports = [...said.matchAll(LISTENING)].map(([, port]) => Number(port))
  }

  /** What the host said, less the lines whose ports are chance. */
  withoutAddresses(said) {
    return said.replace(LISTENING, '')
  }

  /** Does what a dialogue's step says, if it is about connections. */
  async act({ connect: listener, say, finish }) {
    if (listener !== undefined) {
      const socket = connect(this.#ports[listener], '127.0.0.1')
      const heard = []
      socket.on('data', (chunk) => heard.push(chunk))
      // Everything has come once the guest has closed its side too.
      const closed = once(socket, 'close')
      this.#connections.push({ socket, heard, closed })
      await once(socket, 'connect')
    }
    if (say) this.#connections[say[0]].socket.write(say[1])
    if (finish !== undefined) this.#connections[finish].socket.end()
  }

  /** What each connection has heard, once all of them are closed. */
  async end() {
    await Promise.all(this.#connections.map(({ closed }) => closed))
    return this.#connections.map(({ heard }) => Buffer.concat(heard))
  }
}
