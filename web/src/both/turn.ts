/** Resolves after the event loop has run other tasks once. */
export function turn(): Promise<void> {
  return new Promise((turned) => {
    const { port1, port2 } = new MessageChannel();
    port1.onmessage = () => {
      port1.close();
      turned();
    };
    port2.postMessage(null);
  });
}
