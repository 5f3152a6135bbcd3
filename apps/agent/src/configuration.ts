// Every key of the agent's YAML file and of its ATOLL_ variables, with bounds and defaults.
import { z } from 'zod';
import {
  type Configuration,
  defineConfiguration,
  listenOn,
  logSchema,
  portSchema,
  secret,
  shutdownSchema,
} from '#configuration';
import { endpointSchema, labelsSchema, nameSchema, nodeSchema } from '#contracts';
import { namedEngineSchema } from './engines/named-engines.ts';
import { kubernetesTasksSchema } from './jobs/kubernetes/configuration.ts';
import { kubernetesInventorySchema } from './kubernetes/configuration.ts';

const dataPlaneSchema = z.strictObject({
  /** Where gateways may connect directly. Absent: only the sockets that this agent dials reach it. */
  listen: z.strictObject({ host: z.string().min(1).default('0.0.0.0'), port: portSchema }).optional(),
  /** What the report tells gateways to dial, `host:port`. Needs `listen`. Absent: no direct path. */
  advertise: endpointSchema.optional(),
  /** Largest request body. Default 32 MiB. */
  bodyBytesMax: z.int().min(1024).max(1_073_741_824).default(33_554_432),
  /** Wait for the engine's first byte, queueing included. Default 600. */
  firstByteTimeoutSeconds: z.int().min(1).max(86_400).default(600),
  /** Longest pause between two pieces of an answer. Default 300. */
  idleTimeoutSeconds: z.int().min(1).max(86_400).default(300),
});

const neighboursSchema = z.strictObject({
  /** Where clusters of the same site group may fetch files that are held here. Absent: this agent serves none. */
  listen: z.strictObject({ host: z.string().min(1).default('0.0.0.0'), port: portSchema }).optional(),
  /** What the report tells neighbours, `host:port`. Default: `listen`, when its host is one address and not all of them. */
  advertise: endpointSchema.optional(),
});

const engineSchema = z.strictObject({
  /** The node_modules folder with the engine's packages, handed on as ATOLL_ENGINE_MODULES. Default: this installation's. */
  modulesDirectory: z.string().min(1).optional(),
  /** Program and arguments of an engine child. Default: this installation's own engine. */
  command: z.array(z.string().min(1)).min(1).max(64).optional(),
  startTimeoutSeconds: z.int().min(1).max(86_400).default(300),
  /** `keep` leaves engines running for the next start of the agent to adopt. */
  onShutdown: z.enum(['stop', 'keep']).default('stop'),
  contextSize: z.int().min(8).max(10_000_000).optional(),
  maxConcurrent: z.int().min(1).max(64).default(4),
  maxQueue: z.int().min(0).max(10_000).default(64),
});

/** Where local clients may ask for inference with the API keys of the installation, also while the centre is away (R4). */
const localEndpointSchema = z.strictObject({
  /** Absent: there is no local endpoint. */
  listen: z.strictObject({ host: z.string().min(1).default('127.0.0.1'), port: portSchema }).optional(),
  /** Requests in flight; beyond it they are refused with `retry-after`. */
  inflightMax: z.int().min(1).max(100_000).default(1_024),
});

const jobsSchema = z.strictObject({
  /** `stop` asks tasks for a checkpoint and ends them when the agent stops; `keep` leaves them for its next start. */
  onShutdown: z.enum(['keep', 'stop']).default('keep'),
  /** A cgroup v2 folder that is delegated to the agent's user. Absent: below the agent's own group, when that can be done. */
  cgroupParent: z.string().min(1).optional(),
  /** Tasks are Jobs of a Kubernetes cluster, instead of processes of this machine. */
  kubernetes: kubernetesTasksSchema.optional(),
});

export const agentConfiguration = defineConfiguration({
  process: 'agent',
  schema: z.strictObject({
    /** Identity, documents, models and engines. One agent a folder. */
    stateDirectory: z.string().min(1),
    controlPlaneUrl: z.url({ protocol: /^https?$/ }),
    /** Only needed until the cluster has joined. */
    joinToken: secret().optional(),
    dataPlane: dataPlaneSchema,
    links: z.strictObject({
      /** Idle sockets kept ready at each gateway. */
      perGateway: z.int().min(1).max(64).default(4),
      /** Sockets at each gateway, busy ones included; beyond it no new ones are dialled. */
      perGatewayMax: z.int().min(1).max(1024).default(64),
    }),
    neighbours: neighboursSchema,
    inventory: z.strictObject({
      /** Takes the place of what the machine says of itself, and of all below. */
      nodes: z.array(nodeSchema).min(1).max(4096).optional(),
      /** Asks nvidia-smi, npu-smi and cnmon for accelerators. False: one node with a `cpu` device a core, no more. */
      discover: z.boolean().default(true),
      /** Between two looks at the accelerators. Default 30. */
      intervalSeconds: z.int().min(5).max(3_600).default(30),
      /** Default: the host's name. */
      nodeName: z.string().min(1).max(253).optional(),
      rack: z.string().min(1).max(63).optional(),
      zone: z.string().min(1).max(63).optional(),
      /** Of the discovered node, for deployments that require or prefer labels. */
      labels: labelsSchema.optional(),
      /** The nodes of a Kubernetes cluster, instead of this machine. */
      kubernetes: kubernetesInventorySchema.optional(),
    }),
    /** How replicas beside the placed ones follow load, where a deployment wants such (`localScaling`). */
    localScaling: z.strictObject({
      /** In flight is a mean over so long. Default 30. */
      windowSeconds: z.int().min(1).max(3_600).default(30),
      /** Between two starts for one deployment. Default 60. */
      outCooldownSeconds: z.int().min(0).max(86_400).default(60),
      /** None ends before it was not needed for so long without a break. Default 300. */
      inAfterSeconds: z.int().min(1).max(86_400).default(300),
    }),
    engine: engineSchema,
    /** Beside `engine`, which runs what names none: name → engine, for deployments that ask for it by that name. */
    engines: z.record(nameSchema, namedEngineSchema).default({}),
    localEndpoint: localEndpointSchema,
    jobs: jobsSchema,
    sync: z.strictObject({
      /** Disk that must stay free beside what is fetched. Default 256 MiB. */
      headroomBytes: z.int().min(0).default(268_435_456),
      /** Longest wait without a byte. */
      stallTimeoutSeconds: z.int().min(1).max(3600).default(30),
      /** Threads that make files from diffs and snapshots. They run only while something is made. */
      applyThreads: z.int().min(1).max(16).default(1),
      /** Raw Ed25519 public keys in hex: only versions signed by one of them are fetched or run. Absent: signed or not. */
      requireSignatureBy: z
        .array(
          z.string().regex(/^[0-9a-f]{64}$/, 'must be a raw Ed25519 public key in 64 lower-case hexadecimal digits'),
        )
        .min(1)
        .max(64)
        .optional(),
      /** What is held is hashed again no faster than this. Default 50 MB/s. */
      verifyBytesPerSecondMax: z.int().min(65_536).max(100_000_000_000).default(50_000_000),
      /** A round of verification by sample ends once it has hashed so much. Default 1 GiB. */
      verifySampleBytes: z.int().min(1).default(1_073_741_824),
    }),
    operational: listenOn(7410),
    metrics: z.strictObject({
      /** Bearer token of `/metrics`. Absent: nobody may read it. */
      token: secret({ charactersMin: 16 }).optional(),
    }),
    log: logSchema,
    shutdown: shutdownSchema,
  }),
});

export type AgentConfiguration = Configuration<typeof agentConfiguration>;
