/** The worker's half of a device worker: a kernel that makes capabilities and serves them to agents' kernels. */
import { KernelInstance } from './kernel-instance.js';
import type { BindingsFactory } from './kernels.js';
import { DEVICE_WINDOW, type DeviceCommand, type DeviceReport, type Narrowing, type Sender } from './protocol.js';

export class DeviceServer {
  readonly #kernel: KernelInstance;
  #advancing = false;
  /** How many requests of each client have been taken of which the page doesn't know. */
  readonly #taken = new Map<number, number>();

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
          this.#taken.set(client, (this.#taken.get(client) ?? 0) + 1);
          kernel.remote_serve(client, command.bytes, (bytes: Uint8Array) => {
            this.port.post({ type: 'device-answer', client, bytes, taken: this.#tell(client) }, [bytes.buffer as ArrayBuffer]);
          });
          // Answers tell of most, which is no message more.
          if ((this.#taken.get(client) ?? 0) >= DEVICE_WINDOW / 2) this.port.post({ type: 'device-taken', client, taken: this.#tell(client) });
          break;
        case 'device-forget':
          this.#taken.delete(client);
          kernel.remote_forget(client);
          // What was given up with it is told first: that ends before the event loop gets to this.
          setTimeout(() => this.port.post({ type: 'device-forgotten', client }));
      }
    } catch (error) {
      this.#failed(error);
    }
  }

  /** How many requests of a client the page is to be told of now. */
  #tell(client: number): number {
    const taken = this.#taken.get(client) ?? 0;
    this.#taken.delete(client);
    return taken;
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
