import { Capfs, CapfsError } from 'capfs/full'
import { Capfs as Small, CapfsError as Same } from 'capfs'
import { greet } from './greet.js'

if (CapfsError !== Same) throw new Error('the two entries have errors of two classes')
// A capability that the smaller kernel doesn't have.
const small = await Small.create()
try {
  small.checkGrant('crypto')
  throw new Error('the entry capfs has the larger kernel')
} catch (error) {
  if (error.code !== 'GRANT_INVALID') throw error
} finally {
  small.close()
}
const capfs = await Capfs.create()
const at = capfs.checkGrant('crypto')
capfs.close()
console.log(`${at}, ${await greet(Capfs)}`)
