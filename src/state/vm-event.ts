// What events say of VMs.
import type { StoredVm } from '../model/vm.ts'
import type { Transaction } from './transaction.ts'

export function sayOfVm(
  transaction: Transaction,
  vm: Pick<StoredVm, 'id' | 'name' | 'project'>,
  event: { readonly type: 'created' | 'updated' | 'deleted'; readonly message: string; readonly reason: string; readonly actor?: string },
): void {
  transaction.event({ kind: 'vm', resourceId: vm.id, name: vm.name, project: vm.project, ...event })
}
