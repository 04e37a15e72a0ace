// Plays the other side of a case's dialogue: watches what the guest prints and does the next step when
// its cue has come. Runs in Node and in pages.

/**
 * @param {{until: string}[]} steps
 * @param {(step: any) => void | Promise<void>} act does what a step says
 */
export function dialogue(steps, act) {
  const decoder = new TextDecoder()
  let unseen = ''
  let next = 0
  /** Takes what the guest printed; `undefined` begins. */
  return async (bytes) => {
    if (bytes) unseen += decoder.decode(bytes, { stream: true })
    while (next < steps.length) {
      const at = unseen.indexOf(steps[next].until)
      if (at < 0) return
      unseen = unseen.slice(at + steps[next].until.length)
      const step = steps[next++]
      await act(step)
    }
  }
}
