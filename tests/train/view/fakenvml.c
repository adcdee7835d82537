/* A driver's library with two devices, as far as Fairway asks it. */
#include <stdio.h>
#include <string.h>

typedef struct { unsigned long long total, free, used; } memory_t;
typedef struct { unsigned int gpu, memory; } rates_t;
static int started = 0;
static int devices[2] = {0, 1};

int nvmlInit_v2(void) { started++; return 0; }
int nvmlShutdown(void) { started--; return 0; }
int nvmlDeviceGetCount_v2(unsigned int *count) { if (!started) return 1; *count = 2; return 0; }
int nvmlDeviceGetHandleByIndex_v2(unsigned int index, void **handle) { if (index > 1) return 2; *handle = &devices[index]; return 0; }
int nvmlDeviceGetName(void *handle, char *name, unsigned int length) { snprintf(name, length, "Fake %d", *(int *)handle); return 0; }
int nvmlDeviceGetUUID(void *handle, char *uuid, unsigned int length) { snprintf(uuid, length, "GPU-%c", "ab"[*(int *)handle]); return 0; }
int nvmlDeviceGetMemoryInfo(void *handle, memory_t *memory) {
    int number = *(int *)handle;
    memory->total = 80ULL << 30; memory->used = (unsigned long long)(number + 1) << 30; memory->free = memory->total - memory->used;
    return 0;
}
int nvmlDeviceGetUtilizationRates(void *handle, rates_t *rates) {
    if (*(int *)handle == 1) return 3; /* a slice of a device does not tell */
    rates->gpu = 97; rates->memory = 40;
    return 0;
}
