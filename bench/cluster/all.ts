import { collection } from './collection.ts';
import { million } from './million.ts';
import { repair } from './repair.ts';
import { throughput } from './copies.ts';
import type { ClusterWorkload } from './workload.ts';

export const clusterWorkloads: readonly ClusterWorkload[] = [throughput, repair, million, collection];
