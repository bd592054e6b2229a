import { raw } from '../../../src/formats/raw.ts'
import { describeFormat } from '../../contracts/format.contract.ts'

describeFormat('raw', raw, { qemuFormat: 'raw', checkable: false, maxSectors: 4096, runs: 20 })
