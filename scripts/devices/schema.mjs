// The schema of manifests (JSON Schema, draft 2020-12), for editors: docs/manifest.md.

const plain = (text) => text.replaceAll('`', '')
const described = (description, schema) => ({ description: plain(description), ...schema })
const text = { type: 'string' }
const texts = { type: 'array', items: text }
const number = { type: ['string', 'integer'] }
const size = { type: ['string', 'integer'], pattern: '^[0-9]+(\\.[0-9]+)?(B|KiB|MiB|GiB|KB|MB|GB)?$' }
const duration = { type: ['string', 'integer'], pattern: '^[0-9]+(\\.[0-9]+)?(ms|s|m|h)?$' }
const object = (properties, required = []) => ({ type: 'object', additionalProperties: false, required, properties })

/** The value of a term, once. */
function valueOf({ value }) {
  if (Array.isArray(value)) return { enum: value }
  return {
    text,
    size,
    count: { ...number, pattern: '^[0-9]+$' },
    duration,
    rate: { ...text, pattern: '^[0-9]+/[sm]$' },
    yes: { enum: [true, false, 'yes', 'no', 'true', 'false'] },
    header: { ...text, pattern: '^[^ ]+ [^ ]+: ' },
  }[value]
}

const need = {
  required: described('Whether nothing is started where it can\'t be given; yes unless told.', { type: 'boolean' }),
  optional: described('The opposite of `required`.', { type: 'boolean' }),
  without: described('What the agent does without it, in a sentence.', text),
}

function grant({ name, path, about, terms }) {
  const term = (term) => {
    const one = valueOf(term)
    return [term.key, described(term.about, term.many ? { anyOf: [one, { type: 'array', items: one }] } : one)]
  }
  const properties = {
    device: described(`${about}; at ${path}`, { const: name }),
    at: described('Where it appears, an absolute path; its usual place unless told.', { ...text, pattern: '^/' }),
    ...Object.fromEntries(terms.map(term)),
    ...need,
  }
  return object(properties, ['device', ...terms.filter(({ needed }) => needed).map(({ key }) => key)])
}

const rights = { enum: ['ro', 'rw'] }
const mount = {
  oneOf: [
    object({ type: { const: 'folder' }, host: described('A folder of this machine.', text), rights, ...need }, ['type', 'host']),
    object({ type: { const: 'archive' }, file: described('A tar, plain or gzipped.', text), rights: { const: 'ro' }, ...need }, ['type', 'file']),
    object({ type: { enum: ['memory', 'null', 'zero'] }, rights, ...need }, ['type']),
    object({ type: { const: 'ns' }, rights: { const: 'ro' }, ...need }, ['type']),
  ],
}

/** docs/manifest.schema.json */
export function schema(devices) {
  const manifest = {
    $schema: 'https://json-schema.org/draft/2020-12/schema',
    title: 'A manifest of a capfs agent',
    ...object({
      agent: object({
        program: described('The program; without it the command line names one.', text),
        digest: described('No module but the one that has this digest is run.', { ...text, pattern: '^sha256:[0-9a-f]{64}$' }),
        id: described('Who it is: whose keys, files and databases it has; unless told, the digest of the program.', text),
        args: described('Its arguments.', texts),
        'inherit-env': described('Variables of this machine, where they are set.', texts),
        clock: described('`exact`, `none`, or a step such as `100ms`.', text),
        random: described('`false` refuses WASI\'s own random bytes.', { type: 'boolean' }),
        listen: described('Addresses HOST:PORT.', texts),
      }),
      env: described('Variables.', { type: 'object', additionalProperties: text }),
      limits: object({
        memory: described('Bytes that it may make its host hold.', size),
        storage: described('Bytes of each file system in memory.', size),
        time: described('How long it may take.', duration),
        files: described('Descriptors at once.', { type: 'integer' }),
      }),
      mounts: described('By path; those of a list are united.', { type: 'object', additionalProperties: { anyOf: [mount, { type: 'array', items: mount }] } }),
      grants: described('Capabilities: tables, or flags as --grant takes them.', { type: 'array', items: { oneOf: [text, ...devices.map(grant)] } }),
    }),
  }
  return `${JSON.stringify(manifest, null, 2)}\n`
}
