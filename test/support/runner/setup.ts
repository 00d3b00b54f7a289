// What every spec file needs: Nest reads the metadata of decorators.
import 'reflect-metadata';
