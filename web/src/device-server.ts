/** The worker's half of a device worker: a kernel that makes capabilities and serves them to agents' kernels. */
import { KernelInstance } from './kernel-instance.js';
import type { BindingsFactory } from './kernels.js';
import type { DeviceCommand, DeviceReport, Narrowing, Sender } from './protocol.js';

export class DeviceServer {
  readonly #kernel: KernelInstance;
  #advancing = false;

  constructor(
    private readonly port: Sender<DeviceReport>,
    module: WebAssembly.Module,
    bindings: BindingsFactory,
  ) {
    this.#kernel = new KernelInstance(module, bindings);
    this.#kernel.bindings.on_wake(() => this.#wake());
  }

  receive(command: Exclude<DeviceCommand, { type: 'prepare-devices' }>): void {
    const kernel = this.#kernel.bindings;
    const { client } = command;
    try {
      switch (command.type) {
        case 'device-grant':
          void this.#grant(command);
          break;
        case 'device-narrow': {
          const narrowing = kernel.narrow(client, command.tree, command.device, command.terms, command.check) as Narrowing;
          this.port.post({ type: 'device-narrowed', request: command.request, narrowing });
          break;
        }
        case 'device-request':
          kernel.remote_serve(client, command.bytes, (bytes: Uint8Array) => {
            this.port.post({ type: 'device-answer', client, bytes }, [bytes.buffer as ArrayBuffer]);
          });
          break;
        case 'device-forget':
          kernel.remote_forget(client);
          // What was given up with it is told first: that ends before the event loop gets to this.
          setTimeout(() => this.port.post({ type: 'device-forgotten', client }));
      }
    } catch (error) {
      this.#failed(error);
    }
  }

  async #grant({ request, client, identity, audit, device, terms, held }: Extract<DeviceCommand, { type: 'device-grant' }>): Promise<void> {
    const tell = audit === undefined ? undefined : (line: string) => this.port.post({ type: 'device-audit', client, line });
    try {
      const tree = await this.#kernel.bindings.remote_grant(client, identity, audit ?? '', device, terms, held, tell);
      this.port.post({ type: 'device-granted', request, tree });
    } catch (error) {
      this.port.post({ type: 'device-granted', request, error: error instanceof Error ? error.message : String(error) });
    }
  }

  /** Called from inside of the kernel: it must have returned before it is called again. */
  #wake(): void {
    if (this.#advancing) return;
    this.#advancing = true;
    queueMicrotask(() => {
      this.#advancing = false;
      try {
        this.#kernel.bindings.advance();
      } catch (error) {
        this.#failed(error);
      }
    });
  }

  /** After a trap nothing of the kernel can be used any more. */
  #failed(error: unknown): void {
    this.port.post({ type: 'device-failed', message: this.#kernel.panic ?? String(error) });
  }
}
