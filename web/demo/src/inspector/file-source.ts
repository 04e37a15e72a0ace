/** What the inspector reads from: an agent's namespace, or the page's own tree; both have these methods. */
import type { Agent } from 'capfs';

/** The reading half of an agent's files. */
export type FileSource = Pick<Agent, 'readDir' | 'readFile' | 'stat'>;

/** Joins a directory's absolute path and a name in it. */
export function childPath(directory: string, name: string): string {
  return directory === '/' ? `/${name}` : `${directory}/${name}`;
}
