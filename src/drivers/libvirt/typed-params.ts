// libvirt's typed parameters: named values that say their type, both directions.
import { XdrError, type XdrReader, type XdrWriter } from './xdr.ts'

export type TypedParam = { readonly name: string; readonly value: TypedValue }
/** The types that we send. */
export type TypedValue = { readonly kind: 'int'; readonly value: number } | { readonly kind: 'ullong'; readonly value: bigint } | { readonly kind: 'string'; readonly value: string }

/** virTypedParameterType. */
const types = { int: 1, uint: 2, llong: 3, ullong: 4, double: 5, boolean: 6, string: 7 } as const

export function writeTypedParams(writer: XdrWriter, params: readonly TypedParam[]): void {
  writer.uint(params.length)
  for (const { name, value } of params) {
    writer.string(name)
    writer.int(types[value.kind])
    switch (value.kind) {
      case 'int':
        writer.int(value.value)
        break
      case 'ullong':
        writer.uhyper(value.value)
        break
      case 'string':
        writer.string(value.value)
    }
  }
}

/** By name; of a name that is there twice the last one. @throws XdrError for a type that does not exist */
export function readTypedParams(reader: XdrReader): ReadonlyMap<string, number | bigint | string> {
  return new Map(reader.array(() => [reader.string(), readValue(reader)] as const))
}

function readValue(reader: XdrReader): number | bigint | string {
  const type = reader.int()
  switch (type) {
    case types.int:
    case types.boolean:
      return reader.int()
    case types.uint:
      return reader.uint()
    case types.llong:
      return reader.hyper()
    case types.ullong:
      return reader.uhyper()
    case types.double:
      return reader.double()
    case types.string:
      return reader.string()
    default:
      throw new XdrError(`a typed parameter of type ${type}`)
  }
}
