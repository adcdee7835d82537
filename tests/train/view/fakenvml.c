/* A driver's library as far as Fairway asks it: device 0 is whole, 1 tells nothing of its load, 2 may not be used, 3 is cut into two
   slices. FAKE_LOST: device 0 has fallen off the bus. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef struct { unsigned long long total, free, used; } memory_t;
typedef struct { unsigned int gpu, memory; } rates_t;
typedef struct { unsigned int pid; unsigned long long used; unsigned int gpu_instance, compute_instance; } process_t;
static int started = 0;
static int devices[6] = {0, 1, 2, 3, 4, 5}; /* 4 and 5 are the slices of 3 */

int nvmlInit_v2(void) { started++; return 0; }
int nvmlShutdown(void) { started--; return 0; }
int nvmlDeviceGetCount_v2(unsigned int *count) { if (!started) return 1; *count = getenv("FAKE_MORE") ? 4 : 2; return 0; }
int nvmlDeviceGetHandleByIndex_v2(unsigned int index, void **handle) {
    if (index == 2) return 4; /* no permission */
    if (index > 3) return 2;
    *handle = &devices[index];
    return 0;
}
int nvmlDeviceGetMaxMigDeviceCount(void *handle, unsigned int *count) {
    if (*(int *)handle == 1) return 3;
    *count = *(int *)handle == 3 ? 7 : 0;
    return 0;
}
int nvmlDeviceGetMigDeviceHandleByIndex(void *handle, unsigned int index, void **slice) {
    (void)handle;
    if (index != 1 && index != 4) return 6; /* not found: there may be gaps */
    *slice = &devices[index == 1 ? 4 : 5];
    return 0;
}
int nvmlDeviceGetName(void *handle, char *name, unsigned int length) { snprintf(name, length, "Fake %d", *(int *)handle); return 0; }
int nvmlDeviceGetUUID(void *handle, char *uuid, unsigned int length) {
    int number = *(int *)handle;
    snprintf(uuid, length, "%s-%c", number > 3 ? "MIG" : "GPU", "abcdef"[number]);
    return 0;
}
int nvmlDeviceGetMemoryInfo(void *handle, memory_t *memory) {
    int number = *(int *)handle;
    if (number == 0 && getenv("FAKE_LOST")) return 15;
    if (number == 3) return 4;
    memory->total = (number > 3 ? 10ULL : 80ULL) << 30; memory->used = (unsigned long long)(number + 1) << 30;
    memory->free = memory->total - memory->used;
    return 0;
}
int nvmlDeviceGetUtilizationRates(void *handle, rates_t *rates) {
    if (*(int *)handle != 0) return 3; /* a slice of a device does not tell */
    rates->gpu = 97; rates->memory = 40;
    return 0;
}
int nvmlDeviceGetComputeRunningProcesses_v3(void *handle, unsigned int *count, process_t *found) {
    if (*(int *)handle == 1) { found[0] = (process_t){getpid(), ~0ULL, 0, 0}; *count = 1; return 0; } /* not available */
    if (*(int *)handle != 0) return 4;
    found[0] = (process_t){1, 5ULL << 30, 0, 0};
    found[1] = (process_t){getpid(), 3ULL << 28, 0, 0};
    *count = 2;
    return 0;
}
