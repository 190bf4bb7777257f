// Which VMs shall not share a node: by what a VM wishes, and by what those that are there wish of it.
import type { Labels } from '../model/resource.ts'
import type { StoredVm, VmSpec } from '../model/vm.ts'
import type { State } from './state.ts'

type Newcomer = { readonly spec: VmSpec; readonly labels: Labels; readonly ownVmId: string }

/** The first VM on the node that it must not be with, either way round; null where there is none. */
export function keptApart(state: State, nodeId: string, newcomer: Newcomer): { readonly vm: string; readonly because: string } | null {
  const rules = rulesOf(newcomer.spec, true)
  for (const vm of neighbours(state, nodeId, newcomer.ownVmId)) {
    const own = rules.find((label) => carries(vm.labels, label))
    if (own !== undefined) return { vm: vm.name, because: `carries ${own}` }
    const theirs = rulesOf(vm.spec, true).find((label) => carries(newcomer.labels, label))
    if (theirs !== undefined) return { vm: vm.name, because: `keeps away from ${theirs}` }
  }
  return null
}

/** How many VMs on the node it would rather not be with, or they with it. */
export function unwelcome(state: State, nodeId: string, newcomer: Newcomer): number {
  const rules = rulesOf(newcomer.spec, false)
  let number = 0
  for (const vm of neighbours(state, nodeId, newcomer.ownVmId)) {
    if (rules.some((label) => carries(vm.labels, label)) || rulesOf(vm.spec, false).some((label) => carries(newcomer.labels, label))) number++
  }
  return number
}

function neighbours(state: State, nodeId: string, ownVmId: string): readonly StoredVm[] {
  // By id: which one a refusal names goes into the audit, which has to be the same on every node.
  const ids = [...(state.vmIdsByNode.get(nodeId) ?? [])].toSorted()
  return ids.filter((id) => id !== ownVmId).map((id) => state.tables.vm.get(id)).filter((vm) => vm !== undefined)
}

function rulesOf(spec: VmSpec, required: boolean): readonly string[] {
  return (spec.placement.antiAffinity ?? []).filter((rule) => rule.required === required).map((rule) => rule.label)
}

function carries(labels: Labels, label: string): boolean {
  const at = label.indexOf('=')
  const key = label.slice(0, at)
  return Object.hasOwn(labels, key) && labels[key] === label.slice(at + 1)
}
