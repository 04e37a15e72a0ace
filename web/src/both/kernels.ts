/** Loads the JavaScript of one of the two kernels: the one that every page loads, or the one with the capabilities that need the web platform. */
import type { KernelBindings } from '../kernel.js';
import { unloadable } from './errors.js';

export type { KernelBindings };

/** Makes new bindings, for one more instance of the kernel. */
export type BindingsFactory = () => KernelBindings;

/** Loads the glue of a kernel; each has its own. */
export async function loadBindings(full: boolean): Promise<BindingsFactory> {
  try {
    const { kernelBindings } = full ? await import('../kernel-full.js') : await import('../kernel.js');
    return kernelBindings;
  } catch (error) {
    throw unloadable("the kernel's glue", error);
  }
}
